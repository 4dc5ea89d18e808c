// The Reasoning tab: clicks and keys become one event after the other, the next when the last is answered.
(() => {
  const PATIENCE_MS = 15000;
  // New HTML closes what a person has opened: these are opened again.
  const kept = new Set();
  const parts = {};

  const visible = (element) => element !== null && element.offsetParent !== null;
  const review = () => document.querySelector("#job-review .q-review");

  const reopen = (element) => {
    for (const folded of element.querySelectorAll("details[data-keep]")) {
      if (kept.has(folded.dataset.keep)) folded.open = true;
    }
  };
  const next = (part) => {
    if (part.waiting || !part.trigger || !part.queue.length) return;
    part.waiting = setTimeout(() => answered(part), PATIENCE_MS);
    part.element.firstElementChild?.classList.add("q-busy");
    part.trigger("select", part.queue.shift());
  };
  const answered = (part) => {
    clearTimeout(part.waiting);
    part.waiting = 0;
    next(part);
  };
  const send = (name, act) => {
    const part = parts[name];
    if (!part) return;
    const last = part.queue[part.queue.length - 1];
    // a key held down is one event
    if (last && last.do === act.do && act.do === "move") part.queue.pop();
    part.queue.push(act);
    next(part);
    if (act.do === "edit") focusForm(Date.now() + PATIENCE_MS);
  };
  // the form for an edit takes the keys as soon as it opens
  const focusForm = (until) => {
    const box = document.querySelector("#job-edit textarea");
    if (box && visible(box)) box.focus();
    else if (Date.now() < until) setTimeout(() => focusForm(until), 100);
  };
  const turnOf = (element) => element.querySelector("[data-turn]")?.dataset.turn;

  window.qeuReasoning = {
    // Called when a part is on the page, and again whenever the page builds it anew.
    attach(element, trigger, name) {
      const part = parts[name] ??= { queue: [], waiting: 0 };
      Object.assign(part, { element, trigger });
      clearTimeout(part.waiting);
      part.waiting = 0;
      let turn = turnOf(element);
      new MutationObserver(() => {
        const now = turnOf(element);
        if (now === turn) return;
        turn = now;
        reopen(element);
        answered(part);
      }).observe(element, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-turn"] });
      next(part);
    },
  };

  document.addEventListener("click", (event) => {
    const folded = event.target.closest("#reasoning details[data-keep]");
    if (folded && event.target.closest("summary")) {
      if (folded.open) kept.delete(folded.dataset.keep); else kept.add(folded.dataset.keep);
    }
    const target = event.target.closest("#job-list [data-do], #job-review [data-do]");
    if (!target || target.disabled) return;
    const name = target.closest("#job-list") ? "jobs" : "review";
    send(name, { do: target.dataset.do, value: target.dataset.value ?? "" });
  });

  const KEYS = { m: "merged", e: "edit", r: "reject", u: "undo" };
  const MOVE = { j: 1, ArrowRight: 1, ArrowDown: 1, k: -1, ArrowLeft: -1, ArrowUp: -1 };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey || !visible(review())) return;
    const at = event.target;
    // Whatever takes keys of its own keeps them: text fields, lists, sliders, tabs, boxes.
    if (at.closest?.("input, textarea, select, [contenteditable=true], [role=tab], [role=listbox], [role=slider]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // arrows scroll the page unless the review was clicked last
    if (key.startsWith("Arrow") && !at.closest?.("#job-review")) return;
    if (/^[1-9]$/.test(key)) send("review", { do: "accept", value: key });
    else if (key in KEYS) send("review", { do: KEYS[key], value: "" });
    else if (key in MOVE) send("review", { do: "move", value: String(MOVE[key]) });
    else return;
    event.preventDefault();
  });
})();
