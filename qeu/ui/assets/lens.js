// The next-token drawer: clicks, keys and sliders become one event after the other.
(() => {
  const PATIENCE_MS = 15000, SLIDE_MS = 60;
  const EVENTS = { redraw: "input", put: "submit" };
  // A newer one of these stands for those before it.
  const LATEST = ["pick", "redraw", "colour", "open"];
  const queue = [];
  let trigger = null, waiting = 0, sliding = 0, opened = false;

  const drawer = () => document.querySelector("#lens .q-lens");
  const list = () => document.querySelector("#lens .q-lens-text");
  const isOpen = () => Boolean(list()?.offsetParent);

  const next = () => {
    if (waiting || !trigger || !queue.length) return;
    const act = queue.shift();
    waiting = setTimeout(answered, PATIENCE_MS);
    trigger(EVENTS[act.do] ?? "select", act);
  };
  const answered = () => {
    clearTimeout(waiting);
    waiting = 0;
    next();
  };
  const send = (act) => {
    if (LATEST.includes(act.do)) {
      for (let at = queue.length - 1; at >= 0; at -= 1) if (queue[at].do === act.do) queue.splice(at, 1);
    }
    // whoever closes does not wait for what is still being read
    if (act.do === "close") { queue.length = 0; clearTimeout(waiting); waiting = 0; }
    queue.push(act);
    next();
  };

  const chosen = () => Number(list()?.getAttribute("aria-activedescendant")?.slice("lens-".length) ?? 0);
  const pick = (wanted) => {
    const last = Number(drawer()?.dataset.last ?? 0);
    const at = Math.max(0, Math.min(last, wanted));
    if (!list() || at === chosen()) return;
    list().querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    const token = list().querySelector(`#lens-${at}`);
    token?.setAttribute("aria-selected", "true");
    list().setAttribute("aria-activedescendant", `lens-${at}`);
    // only the list scrolls: the bars below stay in sight
    if (token) {
      const box = list(), up = token.offsetTop - box.offsetTop;
      if (up < box.scrollTop) box.scrollTop = up - 8;
      else if (up + token.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = up + token.offsetHeight - box.clientHeight + 8;
    }
    send({ do: "pick", value: at });
  };

  window.qeuLens = {
    // Called when a part is on the page, and again whenever the page builds it anew.
    attach(element, fire, name) {
      if (name === "text") trigger = fire;
      const turn = () => element.querySelector("[data-turn]")?.dataset.turn ?? "";
      let last = turn();
      new MutationObserver(() => {
        const now = turn();
        if (now === last) return;
        last = now;
        if (name === "text" && !opened && drawer()) drawer().scrollIntoView({ block: "nearest" });
        if (name === "text") opened = Boolean(drawer());
        if (!element.querySelector("[data-busy]")) answered();
      }).observe(element, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-turn"] });
      next();
    },
  };

  document.addEventListener("click", (event) => {
    const at = event.target;
    if (at.closest?.("[data-lens-open]")) {
      const side = at.closest("[id$='-text']")?.id.replace("-text", "");
      if (side) send({ do: "open", value: side });
      return;
    }
    const strip = at.closest?.("#lens .q-lens-strip");
    if (strip) {
      const box = strip.getBoundingClientRect();
      pick(Math.floor((event.clientX - box.left) / box.width * Number(strip.dataset.count)));
      return;
    }
    const target = at.closest?.("#lens [data-at], #lens [data-move], #lens [data-do], #lens-choice [data-do]");
    if (!target || target.disabled) return;
    const { do: act, at: place, move, value, token } = target.dataset;
    if (act) send({ do: act, value: value ?? "", token: token ?? "" });
    else pick(move ? chosen() + Number(move) : Number(place));
  });

  const MOVE = { ArrowRight: 1, ArrowLeft: -1 };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey || !isOpen()) return;
    if (!event.target.closest?.("#lens, #lens-choice")) return;
    if (event.key in MOVE) pick(chosen() + MOVE[event.key]);
    else if (event.key === "Home" && event.target === list()) pick(0);
    else if (event.key === "End" && event.target === list()) pick(Infinity);
    else return;
    event.preventDefault();
  });

  // Any of the settings that the picture is drawn by: those of both sides, and the side's own.
  const SETTING = /^(common|left|right)-(temperature|top_p|top_k|min_p|repetition_penalty|max_new_tokens|seed|greedy|own)$/;
  const slid = (event) => {
    if (!isOpen()) return;
    const named = event.target.closest?.("[id^='common-'], [id^='left-'], [id^='right-']");
    const [, whose] = SETTING.exec(named?.id ?? "") ?? [];
    if (!whose || (whose !== "common" && whose !== drawer().dataset.side)) return;
    clearTimeout(sliding);
    sliding = setTimeout(() => send({ do: "redraw" }), SLIDE_MS);
  };
  document.addEventListener("input", slid);
  // a number typed counts when it is left
  document.addEventListener("change", slid);
})();
