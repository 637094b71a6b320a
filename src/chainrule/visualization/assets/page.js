// The page: what is open, chosen and in view; the panel, the search and the keyboard.
"use strict";
(() => {
  const { isLeaf, isBlock, idOf, titleOf, number, share, shapeText, counted, thousands } = drawing;
  const graph = drawing.prepare(JSON.parse(document.getElementById("data").textContent));
  const MOST = 400, AROUND = 4; // what a level is opened to, counting an open block as so many nodes: a layout takes a second then
  const byId = (id) => document.getElementById(id);
  const svg = byId("graph"), sceneGroup = byId("scene"), panel = byId("panel"), found = byId("found"), search = byId("search");
  const things = new Map([...graph.nodes, ...graph.blocks].map((thing) => [idOf(thing), thing]));

  let open = drawing.openAtFirst(graph), sideways = false, chosen = null, scene = null;
  const view = { x: 0, y: 0, scale: 1 };

  // -- small helpers ------------------------------------------------------------------------------------------------------

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") made.addEventListener(name, value); else made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  const bytes = (n) => {
    const units = ["B", "KB", "MB", "GB"];
    let i = 0;
    while (n >= 1000 && i < 3) { n /= 1000; i += 1; }
    return `${i ? number(n) : n} ${units[i]}`;
  };
  const namesOf = (node) => node.results.flatMap((result) => result.names || []);
  const nameOf = (thing) => {
    if (isBlock(thing)) return titleOf(thing);
    const [name] = namesOf(thing);
    return isLeaf(thing) ? name || thing.kind : name ? `${name} = ${thing.op}` : thing.op;
  };
  const lineOf = (node) => (node.at && node.at.length ? graph.frames[node.at[node.at.length - 1]] : null);

  // -- the drawing and the view -------------------------------------------------------------------------------------------

  /** Draw what is open; `still` is an id that stays where it is on the screen. */
  function draw(still) {
    const before = still && placeOf(still);
    scene = drawing.scene(graph, open, sideways);
    sceneGroup.innerHTML = drawing.markup(scene);
    const after = before && placeOf(still);
    if (after) {
      view.x += (before.x - after.x) * view.scale;
      view.y += (before.y - after.y) * view.scale;
    }
    move();
    mark();
    byId("unfold").disabled = !nextLevel().length;
    byId("fold").disabled = open.size === 1;
  }

  function placeOf(id) {
    if (!scene) return null;
    const box = scene.boxes.get(id);
    if (box) return { x: box.x, y: box.y - box.height / 2 };
    const group = scene.groups.find((other) => other.id === id);
    return group ? { x: group.x, y: group.y - group.height / 2 } : null;
  }

  function move(gliding = false) {
    sceneGroup.classList.toggle("gliding", gliding);
    sceneGroup.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  }

  /** Show all of the drawing if it can be read then; else its beginning, or what is chosen. */
  function fit(gliding = true) {
    const { width, height } = svg.getBoundingClientRect();
    const whole = Math.min(width / scene.width, height / scene.height);
    view.scale = Math.min(Math.max(whole, 0.7), 1.25);
    view.x = (width - scene.width * view.scale) / 2 - scene.left * view.scale;
    view.y = (height - scene.height * view.scale) / 2 - scene.top * view.scale;
    if (scene.height * view.scale > height) view.y = 8 - scene.top * view.scale;
    if (scene.width * view.scale > width && sideways) view.x = 8 - scene.left * view.scale;
    move(gliding);
  }

  function zoom(factor, x, y) {
    const box = svg.getBoundingClientRect();
    const cx = x === undefined ? box.width / 2 : x - box.left, cy = y === undefined ? box.height / 2 : y - box.top;
    const scale = Math.min(Math.max(view.scale * factor, 0.04), 4);
    view.x = cx - ((cx - view.x) * scale) / view.scale;
    view.y = cy - ((cy - view.y) * scale) / view.scale;
    view.scale = scale;
    move(x === undefined);
  }

  /** Bring a node into view, if it is not. */
  function reveal(id, middle) {
    const at = placeOf(id);
    if (!at) return;
    const { width, height } = svg.getBoundingClientRect();
    const x = at.x * view.scale + view.x, y = at.y * view.scale + view.y, edge = 60;
    if (!middle && x > edge && x < width - edge && y > edge && y < height - edge) return;
    view.scale = Math.max(view.scale, 0.6);
    view.x = width / 2 - at.x * view.scale;
    view.y = height / 2 - at.y * view.scale;
    move(true);
  }

  // -- choosing and folding -----------------------------------------------------------------------------------------------

  function mark() {
    sceneGroup.querySelectorAll(".chosen, .given, .used, .linked").forEach((part) => part.classList.remove("chosen", "given", "used", "linked"));
    if (!chosen) return;
    const shown = sceneGroup.querySelector(`[data-id="${chosen}"]`);
    if (shown) shown.classList.add("chosen");
    sceneGroup.querySelectorAll(`.edge[data-to="${chosen}"]`).forEach((edge) => edge.classList.add("given"));
    sceneGroup.querySelectorAll(`.edge[data-from="${chosen}"]`).forEach((edge) => edge.classList.add("used"));
    for (const edge of scene.far) {
      const other = edge.from === chosen ? edge.to : edge.to === chosen ? edge.from : null;
      if (other) sceneGroup.querySelector(`[data-id="${other}"]`).classList.add("linked");
    }
  }

  function choose(id, focus = true) {
    chosen = id;
    mark();
    fillPanel();
    const shown = id && sceneGroup.querySelector(`[data-id="${id}"]`);
    if (shown) {
      if (focus) shown.focus({ preventScroll: true });
      byId("said").textContent = shown.getAttribute("aria-label");
    }
  }

  /** Open or fold a block. */
  function toggle(block) {
    const inner = (b) => b.members.filter(isBlock).forEach((m) => { open.delete(m.id); inner(m); });
    if (open.has(block.id)) { open.delete(block.id); inner(block); } else open.add(block.id);
    draw(block.id);
    choose(block.id);
    reveal(block.id);
  }

  /** Show a node, wherever it is folded away, and choose it. */
  function goTo(thing) {
    const around = isBlock(thing) ? thing.parent : graph.home[thing.index];
    let changed = false;
    for (let block = around; block; block = block.parent) {
      if (!open.has(block.id)) { open.add(block.id); changed = true; }
    }
    if (changed) draw();
    choose(idOf(thing));
    reveal(idOf(thing), changed);
  }

  /** The folded blocks that are seen, unless opening them would show too much. */
  function nextLevel() {
    const folded = [...scene.boxes.values()].map((box) => box.thing).filter(isBlock);
    const more = folded.reduce((sum, block) => sum + block.members.length - 1 + AROUND, 0);
    return scene.boxes.size + AROUND * scene.groups.length + more > MOST ? [] : folded;
  }

  function unfold() {
    const level = nextLevel();
    if (!level.length) return;
    level.forEach((block) => open.add(block.id));
    draw(chosen);
    if (!chosen) fit();
  }

  function fold() {
    open = new Set([graph.root.id]);
    draw();
    fit();
  }

  function turn() {
    sideways = !sideways;
    draw();
    fit();
    if (chosen) reveal(chosen);
  }

  // -- the panel ----------------------------------------------------------------------------------------------------------

  function fillPanel() {
    panel.replaceChildren();
    panel.scrollTop = 0;
    const thing = chosen && things.get(chosen);
    panel.append(...(!thing ? overview() : isBlock(thing) ? aboutBlock(thing) : aboutNode(thing)).filter(Boolean));
  }

  const heading = (text) => element("h3", {}, text);
  const link = (thing, text) => element("a", {
    href: "#", click: (event) => { event.preventDefault(); goTo(thing); }, "data-to": idOf(thing),
  }, text || nameOf(thing));

  /** Where a node is to be found, in few words. */
  function standsIn(node) {
    const home = graph.home[node.index], line = lineOf(node);
    return home !== graph.root ? `in ${home.path || home.name}` : line ? `${line[0]}:${line[1]}` : "";
  }

  function list(pairs) {
    const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    return rows.length ? element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", { "data-row": name }, value)])) : null;
  }

  function overview() {
    const { ops, leaves, edges, bytes: kept, freed, noGradients, noted, version } = graph.summary;
    const wrong = graph.nodes.filter((node) => node.marks.some((m) => m.kind !== "zero"));
    const zero = graph.nodes.filter((node) => node.marks.some((m) => m.kind === "zero"));
    const savers = graph.nodes.filter((node) => node.bytes > 0).sort((a, b) => b.bytes - a.bytes).slice(0, 5);
    const some = (nodes) => {
      const items = nodes.slice(0, 8).map((node) =>
        element("li", {}, link(node), element("small", {}, ` ${[...node.marks.map((m) => m.text), standsIn(node)].filter(Boolean).join(" · ")}`)));
      if (nodes.length > 8) items.push(element("li", {}, `and ${thousands(nodes.length - 8)} more`));
      return element("ul", { class: "links" }, ...items);
    };
    return [
      element("h2", {}, graph.title),
      list([
        ["recorded", `${counted(ops, "op")}, ${counted(leaves, "leaf", "leaves")}, ${counted(edges, "edge")}`],
        ["memory", freed ? "freed by a backward pass" : `${bytes(kept)} kept for the backward pass`],
        ["gradients", noGradients ? `none: ${noGradients}` : "of one pass that adds to no .grad"],
        ["lines", noted || !ops ? null : "not noted: record under autograd.graph.noting(), or give visualize a function"],
      ]),
      wrong.length ? heading("NaN and infinity, first made first") : null, wrong.length ? some(wrong) : null,
      zero.length ? heading("Gradients of zeros") : null, zero.length ? some(zero) : null,
      savers.length ? heading("Keeps most") : null,
      savers.length ? element("ul", { class: "links" }, ...savers.map((node) => element("li", {}, link(node), element("small", {}, ` ${[bytes(node.bytes), standsIn(node)].filter(Boolean).join(" · ")}`)))) : null,
      heading("Keys"),
      element("div", { class: "keys" }, ...[
        ["← ↑ → ↓", "walk along the graph"], ["Enter", "open or fold a block"], ["Esc", "back to this overview"], ["/", "search"],
        ["o  c", "open the next level, fold all"], ["+  −  0", "zoom in, out, show all"], ["t", "turn the graph"],
      ].flatMap(([keys, says]) => [element("kbd", {}, keys), element("span", {}, says)])),
      element("p", { class: "sub" }, `Drag or scroll to move, Ctrl and scroll to zoom. chainrule ${version}; layout by dagre.`),
    ];
  }

  function aboutBlock(block) {
    const isOpen = open.has(block.id);
    return [
      element("h2", {}, titleOf(block)),
      element("p", { class: "sub" }, block.path || "a block"),
      element("button", { click: () => toggle(block), id: "toggle" }, isOpen ? "Fold" : "Open"),
      list([["holds", `${counted(block.ops, "op")}, ${counted(block.leaves, "leaf", "leaves")}`], ["keeps", bytes(block.bytes)]]),
      ...notes(block.marks),
      heading("Members"),
      element("ul", { class: "links" }, ...block.members.map((member) => element("li", {}, link(member)))),
      around(block.parent),
    ];
  }

  const notes = (marks) => marks.map((m) => element("p", { class: `note ${m.kind}` }, m.says));

  function around(block) {
    const path = [];
    for (let b = block; b && b !== graph.root; b = b.parent) path.unshift(b);
    if (!path.length) return null;
    return element("div", {}, heading("In"), ...path.flatMap((b, i) => [i ? " › " : "", link(b, titleOf(b))]));
  }

  function aboutNode(node) {
    const frame = lineOf(node), names = namesOf(node), kinds = { leaf: "a leaf", parameter: "a parameter", op: "an op", function: "a custom function" };
    return [
      element("h2", {}, nameOf(node)),
      element("p", { class: "sub" }, [node.name, kinds[node.kind], node.root ? "what was asked for" : null].filter(Boolean).join(" · ")),
      ...notes(node.marks),
      list([
        ["op", isLeaf(node) ? null : node.op],
        ["called", names.join(", ")],
        ...results(node, "shape", (r) => (r.shape ? shapeText(r.shape) : "not known")),
        ...results(node, "dtype", (r) => r.dtype || "not known"),
        ["keeps", node.bytes === undefined ? null : node.freed ? "freed" : bytes(node.bytes)],
      ]),
      ...node.results.flatMap((result, i) => numbers(result, node, i)),
      frame ? heading("Line") : null, frame ? where(node) : null,
      ...connections("Inputs", node.inputs.map((given) => input(given))),
      ...connections("Used by", node.uses.map((i) => element("li", {}, link(graph.nodes[i])))),
      ...parameters(node), ...saved(node),
      around(graph.home[node.index]),
    ];
  }

  const results = (node, name, text) =>
    node.results.map((result, i) => [node.results.length > 1 ? `${name} ${i}` : name, text(result)]);

  function numbers(result, node, i) {
    const columns = [["value", result.value], ["gradient", result.gradient], [".grad", node.grad]].filter(([, stats]) => stats);
    const title = heading(node.results.length > 1 ? `Numbers of result ${i}` : "Numbers");
    if (!columns.length) return [title, element("p", { class: "sub" }, "Neither value nor gradient is known.")];
    const rows = [
      ["min", (s) => number(s.min)], ["max", (s) => number(s.max)], ["norm", (s) => number(s.norm)],
      ["zeros", (s) => (s.size ? share(s.zeros) : "–")], ["NaN", (s) => (s.size ? share(s.nan) : "–"), (s) => s.nan > 0],
      ["infinite", (s) => (s.size ? share(s.inf) : "–"), (s) => s.inf > 0],
    ];
    const cell = (stats, name, [key, text, wrong]) => element("td", {
      class: wrong && wrong(stats) ? "number wrong" : "number", "data-cell": `${name} ${key}`,
      title: String(stats[{ NaN: "nan", infinite: "inf" }[key] || key] ?? ""),
    }, text(stats));
    const table = element("table", {},
      element("thead", {}, element("tr", {}, element("th", {}, ""), ...columns.map(([name]) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows.map((row) =>
        element("tr", {}, element("th", { scope: "row" }, row[0]), ...columns.map(([name, stats]) => cell(stats, name, row))))));
    const whole = columns.filter(([, stats]) => stats.text && stats.size > 1).map(([name, stats]) =>
      element("pre", { "data-whole": name }, `${name} = ${stats.text}`));
    const missing = [];
    if (!result.value) missing.push("The value is not known: no op saved it. Give visualize a function, or record under noting(values=True).");
    if (!result.gradient && !graph.summary.noGradients) missing.push("No gradient reaches it.");
    return [title, table, ...whole, ...missing.map((text) => element("p", { class: "sub" }, text))];
  }

  function where(node) {
    const frames = node.at.map((i) => graph.frames[i]).reverse();
    return element("div", {}, ...frames.map(([file, line, name, source], i) => {
      const says = [element("span", { class: "sub" }, `${file}:${line} in ${name}`), source ? element("pre", {}, source) : null];
      return i === 0 ? element("div", { id: "line" }, ...says.filter(Boolean)) : element("details", {}, element("summary", { class: "sub" }, `called at ${file}:${line}`), says[1]);
    }));
  }

  function input(given) {
    if (given.from !== undefined) {
      const node = graph.nodes[given.from];
      const text = nameOf(node) + (node.results.length > 1 ? `, result ${given.output}` : "");
      return element("li", {}, `${given.name}: `, link(node, text));
    }
    const constant = given.constant;
    if (!constant) return element("li", {}, `${given.name}: a constant`);
    const text = constant.value && constant.value.text ? constant.value.text : `${constant.dtype} ${shapeText(constant.shape)}`;
    return element("li", {}, `${given.name}: constant `, element("code", {}, text));
  }

  function connections(title, items) {
    if (!items.length) return [];
    const shown = items.slice(0, 30);
    if (items.length > 30) shown.push(element("li", {}, `and ${thousands(items.length - 30)} more`));
    return [heading(title), element("ul", { class: "links" }, ...shown)];
  }

  function parameters(node) {
    if (!node.params) return [];
    return [heading("Parameters of the op"), list(Object.entries(node.params).map(([name, text]) => [name, element("code", {}, text)]))];
  }

  function saved(node) {
    if (!node.saved) return [];
    const text = (s) => (s.why ? s.why : `${s.dtype} ${shapeText(s.shape)}, ${bytes(s.bytes)}`);
    return [heading("Saved for the backward pass"), list(node.saved.map((s) => [s.name, text(s)]))];
  }

  // -- search -------------------------------------------------------------------------------------------------------------

  const texts = graph.nodes.map((node) => {
    const line = lineOf(node) || [];
    const shapes = node.results.map((r) => `${r.shape ? shapeText(r.shape) : ""} ${r.dtype || ""}`);
    const marks = node.marks.map((m) => (m.kind === "told" ? `why ${m.text}` : m.text));
    return [node.op, node.name || "", ...namesOf(node), ...shapes, `${line[0]}:${line[1]} ${line[2]} ${line[3]}`, node.kind, ...marks].join(" ").toLowerCase();
  });
  const titles = graph.nodes.map((node) => [node.op, node.name || "", ...namesOf(node)].join(" ").toLowerCase());
  let hits = [], at = 0;

  function look() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const having = (among) => graph.nodes.filter((node) => words.every((word) => among[node.index].includes(word)));
    hits = words.length ? [...new Set([...having(titles), ...having(texts)])] : []; // those that are called so before the others
    at = 0;
    found.replaceChildren(...hits.slice(0, 60).map((node, i) => {
      const line = lineOf(node);
      const says = [...new Set([standsIn(node), line ? `${line[0]}:${line[1]}` : ""])].filter(Boolean).join(" · ");
      return element("li", { role: "option", id: `hit${i}`, mousedown: (event) => { event.preventDefault(); take(i); } }, nameOf(node), element("small", {}, says));
    }));
    if (words.length && !hits.length) found.append(element("li", { class: "none" }, "nothing found"));
    if (hits.length > 60) found.append(element("li", { class: "none" }, `and ${thousands(hits.length - 60)} more`));
    found.hidden = !words.length;
    search.setAttribute("aria-expanded", String(!found.hidden));
    point();
  }

  function point() {
    [...found.children].forEach((li, i) => li.setAttribute("aria-selected", String(i === at && hits.length > 0)));
    search.setAttribute("aria-activedescendant", hits.length ? `hit${at}` : "");
    if (hits.length && !found.hidden) found.children[at].scrollIntoView({ block: "nearest" });
  }

  function take(i) {
    if (!hits[i]) return;
    found.hidden = true;
    search.setAttribute("aria-expanded", "false");
    goTo(hits[i]);
  }

  search.addEventListener("input", look);
  search.addEventListener("focus", look);
  search.addEventListener("blur", () => { found.hidden = true; search.setAttribute("aria-expanded", "false"); });
  search.addEventListener("keydown", (event) => {
    const last = Math.min(hits.length, 60) - 1;
    if (event.key === "ArrowDown") at = Math.min(at + 1, last);
    else if (event.key === "ArrowUp") at = Math.max(at - 1, 0);
    else if (event.key === "Enter") return take(at);
    else if (event.key === "Escape") return svg.focus();
    else return undefined;
    event.preventDefault();
    return point();
  });

  // -- mouse and fingers --------------------------------------------------------------------------------------------------

  const fingers = new Map();
  let moved = 0;

  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = 0;
  });
  svg.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.x, dy = event.clientY - before.y;
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 5) return;
    if (!svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
    svg.classList.add("moving");
    const other = [...fingers].find(([id]) => id !== event.pointerId);
    if (other) {
      const [, q] = other;
      const span = Math.hypot(before.x - q.x, before.y - q.y);
      if (span > 10) zoom(Math.hypot(event.clientX - q.x, event.clientY - q.y) / span, q.x, q.y);
    } else {
      view.x += dx;
      view.y += dy;
      move();
    }
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  const lift = (event) => { fingers.delete(event.pointerId); svg.classList.remove("moving"); };
  svg.addEventListener("pointerup", lift);
  svg.addEventListener("pointercancel", lift);
  svg.addEventListener("click", (event) => {
    if (moved >= 5) return;
    const shown = event.target.closest("[data-id]");
    if (!shown) { choose(null); return; }
    const thing = things.get(shown.dataset.id);
    if (isBlock(thing)) toggle(thing); else choose(idOf(thing));
  });
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    else {
      const step = event.deltaMode ? 24 : 1;
      view.x -= (event.shiftKey ? event.deltaY : event.deltaX) * step;
      view.y -= (event.shiftKey ? 0 : event.deltaY) * step;
      move();
    }
  }, { passive: false });

  // -- the keyboard -------------------------------------------------------------------------------------------------------

  /** The node that an arrow key leads to: along an edge, or to the neighbour in the same row. */
  function neighbour(key) {
    const flow = sideways ? { ArrowLeft: -1, ArrowRight: 1 } : { ArrowUp: -1, ArrowDown: 1 };
    const here = chosen && scene.boxes.get(chosen);
    if (!here) {
      const inner = scene.groups.find((group) => group.id === chosen);
      const first = [...scene.boxes.values()].filter((box) => !inner || within(box.thing, inner.thing));
      return (inner ? first[0] : first.find((box) => box.thing.root) || first[0]) || null;
    }
    const [along, across] = sideways ? ["x", "y"] : ["y", "x"];
    const near = (boxes) => boxes.sort((a, b) => Math.hypot(a.x - here.x, a.y - here.y) - Math.hypot(b.x - here.x, b.y - here.y))[0] || null;
    if (flow[key]) {
      const [mine, theirs] = flow[key] < 0 ? ["to", "from"] : ["from", "to"];
      return near([...scene.edges, ...scene.far].filter((edge) => edge[mine] === chosen).map((edge) => scene.boxes.get(edge[theirs])).filter(Boolean));
    }
    const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    return near([...scene.boxes.values()].filter((box) => Math.abs(box[along] - here[along]) < 30 && sign * (box[across] - here[across]) > 1));
  }

  const within = (thing, block) => {
    for (let b = isBlock(thing) ? thing.parent : graph.home[thing.index]; b; b = b.parent) if (b === block) return true;
    return false;
  };

  document.addEventListener("keydown", (event) => {
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    const does = {
      "/": () => search.focus(), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: () => fit(), o: unfold, c: fold, t: turn,
      Escape: () => { choose(null); svg.focus(); },
    }[event.key];
    if (does) { event.preventDefault(); does(); return; }
    if (!svg.contains(document.activeElement)) return;
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const next = neighbour(event.key);
      if (next) { choose(next.id); reveal(next.id); }
    } else if (event.key === "Enter" || event.key === " ") {
      const thing = things.get(chosen);
      event.preventDefault();
      if (thing && isBlock(thing)) toggle(thing); else if (thing) panel.querySelector("a")?.focus();
    }
  });

  // -- tools --------------------------------------------------------------------------------------------------------------

  byId("in").addEventListener("click", () => zoom(1.25));
  byId("out").addEventListener("click", () => zoom(0.8));
  byId("fit").addEventListener("click", () => fit());
  byId("unfold").addEventListener("click", unfold);
  byId("fold").addEventListener("click", fold);
  byId("turn").addEventListener("click", turn);
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  function legend() {
    const has = (kind) => graph.nodes.some((node) => node.kind === kind);
    const marked = (kind) => graph.nodes.some((node) => node.marks.some((m) => m.kind === kind));
    const box = (cls, rx) => `<svg class="graph" width="34" height="18"><g class="node ${cls}"><rect class="shape" x="1.5" y="1.5" width="31" height="15" rx="${rx}"/></g></svg>`;
    const badge = (cls, text) => `<svg class="graph" width="34" height="18"><g class="mark ${cls}" transform="translate(1,1)"><rect width="32" height="15" rx="7.5"/><text x="16" y="11">${text}</text></g></svg>`;
    const rows = [
      [has("parameter"), box("parameter", 7.5), "parameter"], [has("leaf"), box("leaf", 7.5), "leaf that requires grad"], [has("op"), box("op", 4), "op"],
      [has("function"), box("function", 4), "custom function"], [graph.blocks.length > 1, box("block", 4), "folded block: click opens it"],
      [true, box("op root", 4), "the result"], [marked("told"), badge("told", "why"), "explained"], [marked("nan"), badge("nan", "NaN"), "NaN in the value or gradient"],
      [marked("inf"), badge("inf", "inf"), "infinity"], [marked("zero"), badge("zero", "0"), "gradient of zeros, dotted line"],
    ];
    byId("legend").querySelector("ul").innerHTML = rows.filter(([there]) => there).map(([, drawn, says]) => `<li>${drawn}${says}</li>`).join("");
  }

  legend();
  draw();
  fit(false);
  fillPanel();
  performance.mark("drawn");
  document.documentElement.dataset.ready = "yes";
})();
