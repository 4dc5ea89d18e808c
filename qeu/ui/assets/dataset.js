// The Dataset tab: clicks and keys become one event after the other, the next when the last is answered.
(() => {
  const PATIENCE_MS = 15000, TYPING_MS = 250;
  const queue = [];
  // New HTML closes what a person has opened: these are opened again.
  const kept = new Set();
  let trigger = null, waiting = 0, follow = false, typing = 0;

  const one = (selector) => document.querySelector(selector);
  const visible = (element) => element !== null && element.offsetParent !== null;
  const open = () => visible(one("#ds-list"));

  const next = () => {
    if (waiting || !trigger || !queue.length) return;
    const act = queue.shift();
    follow = act.do === "move" || act.do === "review";
    waiting = setTimeout(answered, PATIENCE_MS);
    one("#ds-list")?.classList.add("q-busy");
    trigger("select", act);
  };
  const answered = () => {
    clearTimeout(waiting);
    waiting = 0;
    one("#ds-list")?.classList.remove("q-busy");
    for (const folded of document.querySelectorAll("#dataset details[data-keep]")) {
      if (kept.has(folded.dataset.keep)) folded.open = true;
    }
    if (follow) one("#ds-list tr[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
    next();
  };
  const send = (act) => {
    const last = queue[queue.length - 1];
    // a key held down, or a word still being typed, is one event
    if (last && last.do === act.do && (act.do === "search" || (act.do === "move" && queue.length > 1))) queue.pop();
    queue.push(act);
    next();
  };

  window.qeuDataset = {
    send,
    // Called when the list is on the page, and again whenever the page builds it anew.
    attach(element, fire) {
      trigger = fire;
      clearTimeout(waiting);
      waiting = 0;
      let turn = element.querySelector(".q-browser")?.dataset.turn;
      new MutationObserver(() => {
        const now = element.querySelector(".q-browser")?.dataset.turn;
        if (now === turn) return;
        turn = now;
        answered();
      }).observe(element, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-turn"] });
      next();
    },
  };

  document.addEventListener("click", (event) => {
    const jump = event.target.closest("[data-jump]");
    if (jump) {
      const part = jump.closest(".q-record") ?? document;
      const place = part.querySelector(`mark.${jump.dataset.jump}`) ?? part.querySelector(`[data-part="${jump.dataset.field}"]`);
      part.querySelectorAll(".q-here").forEach((mark) => mark.classList.remove("q-here"));
      part.querySelectorAll(`mark.${jump.dataset.jump}`).forEach((mark) => mark.classList.add("q-here"));
      place?.scrollIntoView({ block: "nearest" });
      return;
    }
    const folded = event.target.closest("#dataset details[data-keep]");
    if (folded && event.target.closest("summary")) {
      if (folded.open) kept.delete(folded.dataset.keep); else kept.add(folded.dataset.keep);
    } else if (!folded) {
      for (const menu of document.querySelectorAll("#ds-facets details[open]")) {
        kept.delete(menu.dataset.keep);
        menu.open = false;
      }
    }
    const target = event.target.closest("#dataset [data-do]");
    if (!target || target.disabled) return;
    const { do: act, name, value } = target.dataset;
    send({ do: act, name: name ?? "", value: value ?? "" });
    if (act === "open" && window.innerWidth < 900) {
      setTimeout(() => one("#ds-detail")?.scrollIntoView({ block: "start", behavior: "smooth" }), 150);
    }
  });

  document.addEventListener("input", (event) => {
    const box = event.target.closest("#ds-search textarea, #ds-search input");
    if (!box) return;
    clearTimeout(typing);
    typing = setTimeout(() => send({ do: "search", name: "", value: box.value }), TYPING_MS);
  });

  const DECIDE = { a: "accepted", n: "needs_work", r: "rejected", c: "" };
  const MOVE = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
  const press = (id) => { const button = one(id); if (visible(button)) button.click(); };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || !open()) return;
    const at = event.target;
    if (at.closest?.("#ds-search") && event.key === "Enter") {
      clearTimeout(typing);
      send({ do: "search", name: "", value: event.target.value });
      return;
    }
    // Whatever takes keys of its own keeps them: text fields, lists, sliders, tabs, boxes.
    if (at.closest?.("input, textarea, select, [contenteditable=true], [role=tab], [role=listbox], [role=slider]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") { event.preventDefault(); press(event.shiftKey ? "#ds-redo" : "#ds-undo"); }
      return;
    }
    const inTable = at.closest?.("#ds-list") || at === document.body;
    if (key.startsWith("Arrow") && !inTable) return;
    if (key === "Enter" && at.matches?.("tr[data-do]")) {
      send({ do: "open", name: "", value: at.dataset.value });
    } else if (key in DECIDE) {
      send({ do: "review", name: "", value: DECIDE[key] });
    } else if (key in MOVE) {
      send({ do: "move", name: "", value: String(MOVE[key]) });
    } else if (key === "e") {
      press("#ds-edit");
    } else if (key === "/") {
      one("#ds-search textarea, #ds-search input")?.focus();
    } else {
      return;
    }
    event.preventDefault();
  });
})();
