// Blind votes: keys and clicks make up a vote here; one event tells the server. A reload goes on.
(() => {
  // One event at a time; the bar's answer redraws it, a file's does not.
  const PATIENCE_MS = { bar: 15000, standings: 1000 };
  const PENDING = "qeu_vote", VOTER = "qeu_voter";
  // After a reload the page fills itself anew and may wipe out what was just brought back.
  const LOOK_AGAIN_MS = [800, 2500, 6000];
  const OK_KEYS = { 1: "a", 2: "b" };
  const parts = {};
  let choice = { round: "", better: "", ok: { a: "", b: "" }, note: "" };
  const sent = { bar: 0, standings: 0 };
  let resumed = false;

  const read = (store, name) => { try { return store.getItem(name); } catch { return null; } };
  const write = (store, name, value) => { try { store.setItem(name, value); } catch { /* private mode */ } };
  // A random name tells two browsers apart; it says nothing of anybody.
  const voter = () => {
    let name = read(localStorage, VOTER);
    if (!/^[0-9a-f]{16}$/.test(name ?? "")) {
      name = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
      write(localStorage, VOTER, name);
    }
    return name;
  };

  const bar = () => document.querySelector("#vote-bar .q-vote");
  const state = () => bar()?.dataset.state ?? "";
  const visible = (element) => Boolean(element) && element.offsetParent !== null;
  const isBlind = () => document.querySelector("#blind input")?.checked ?? false;

  const send = (name, act) => {
    if (!parts[name] || Date.now() - sent[name] < PATIENCE_MS[name]) return;
    sent[name] = Date.now();
    if (name === "bar") bar()?.classList.add("q-sent");
    parts[name].trigger("select", { ...act, voter: voter() });
  };
  const act = (what) => {
    const shown = bar();
    if (what === "vote" && !choice.better) return;
    // whoever acts has found what was to be brought back: a later look must not hold up the next act
    resumed = true;
    send("bar", {
      do: what, run: Number(shown?.dataset.run ?? 0), round: shown?.dataset.round ?? "",
      better: choice.better, a: choice.ok.a, b: choice.ok.b, note: choice.note,
    });
  };

  const draw = () => {
    const shown = bar();
    if (!shown) return;
    for (const button of shown.querySelectorAll("[data-better]")) {
      button.setAttribute("aria-pressed", String(button.dataset.better === choice.better));
    }
    for (const button of shown.querySelectorAll("[data-ok]")) {
      button.setAttribute("aria-pressed", String(choice.ok[button.dataset.ok] === button.dataset.value));
    }
    const note = shown.querySelector(".q-vote-note");
    if (note && note.value !== choice.note) note.value = choice.note;
    const vote = shown.querySelector("[data-do=vote]");
    if (vote) vote.disabled = !choice.better;
  };
  const choose = (better) => {
    choice.better = better;
    draw();
    // Enter on whatever was clicked last, such as Run, must not be what Enter does now
    if (document.activeElement?.className !== "q-vote-note") {
      bar()?.querySelector("[data-do=vote]")?.focus({ preventScroll: true });
    }
  };
  const answer = (text, value) => {
    choice.ok[text] = choice.ok[text] === value ? "" : value;
    draw();
  };
  // A key asks the three answers one after the other: yes, no, not said.
  const step = (text) => answer(text, { "": "yes", yes: "no", no: "no" }[choice.ok[text]]);

  const remember = () => {
    const waiting = state() === "ready" ? bar().dataset : { run: 0, round: "" };
    write(sessionStorage, PENDING, JSON.stringify({ on: isBlind(), run: Number(waiting.run), round: waiting.round }));
  };
  let last = "";
  const changed = () => {
    sent.bar = 0;
    const round = bar()?.dataset.round ?? "";
    if (last === "ready" && state() === "open") {
      // the settings come back above: the bar moves, and what had the focus is another button now
      document.activeElement?.closest?.("#vote-bar")?.querySelectorAll("button, input").forEach((e) => e.blur());
      setTimeout(() => bar()?.scrollIntoView({ block: "nearest" }), 100);
    }
    last = state();
    if (round !== choice.round) choice = { round, better: "", ok: { a: "", b: "" }, note: "" };
    draw();
    if (resumed) remember();
  };
  const pending = () => {
    try { return JSON.parse(read(sessionStorage, PENDING) ?? "{}"); } catch { return {}; }
  };
  const resume = (before) => {
    if (resumed) return;
    if (isBlind() && (state() === "writing" || (state() === "ready") === Boolean(before.run))
      && !(state() === "ready" && document.querySelector("#left-text .q-empty"))) return;
    sent.bar = 0;
    send("bar", { do: "resume", run: before.run, round: before.round });
    // the answer may change nothing, and then nothing would end the waiting for it
    sent.bar = 0;
  };

  window.qeuVotes = {
    // Called when a part is on the page, and again whenever the page builds it anew.
    attach(element, trigger, name) {
      parts[name] = { element, trigger };
      if (name !== "bar") return;
      new MutationObserver(changed).observe(element, { subtree: true, childList: true });
      if (resumed) return;
      const before = pending();
      if (before.on) {
        resume(before);
        for (const wait of LOOK_AGAIN_MS) setTimeout(() => resume(pending().run ? pending() : before), wait);
      }
      setTimeout(() => { resumed = true; }, before.on ? LOOK_AGAIN_MS.at(-1) : 0);
    },
  };

  document.addEventListener("change", (event) => {
    if (event.target.closest?.("#blind")) { resumed = true; setTimeout(remember, 0); }
  });
  document.addEventListener("input", (event) => {
    if (event.target.className === "q-vote-note") choice.note = event.target.value;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#vote-bar button, #vote-standings button[data-do]");
    if (!button || button.disabled) return;
    const { better, ok, value } = button.dataset;
    if (better) choose(better);
    else if (ok) answer(ok, value);
    else if (button.dataset.do === "export") send("standings", { do: "export", value });
    else act(button.dataset.do);
  });

  const KEYS = {
    ready: { a: () => choose("a"), b: () => choose("b"), e: () => choose("equal") },
    open: { n: () => act("next"), u: () => bar().querySelector("[data-do=undo]") && act("undo"), k: () => bar().querySelector("[data-do=keep]") && act("keep") },
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey || !visible(bar())) return;
    const at = event.target;
    if (at.className === "q-vote-note" && event.key === "Enter") { act("vote"); return; }
    // Whatever takes keys of its own keeps them: text fields, lists, sliders, tabs.
    if (at.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable=true], [role=tab], [role=listbox], [role=slider]")) return;
    const key = event.key.toLowerCase();
    const known = KEYS[state()]?.[key] ?? (state() === "ready" && OK_KEYS[key] ? () => step(OK_KEYS[key]) : null);
    if (!known) return;
    known();
    event.preventDefault();
  });
})();
