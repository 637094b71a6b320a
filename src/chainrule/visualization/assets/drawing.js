// Which nodes and blocks of a graph are shown, where dagre puts them, and their SVG. Needs no document: the page draws with it,
// and so does Python, for a picture.
"use strict";
const drawing = (() => {
  const HEIGHT = 42, MARK = 15, GAP = 3, NEAR = 6;
  const AT_FIRST = 60; // nodes that are shown before any block is opened or folded by hand

  /** Number the blocks of a graph and add what drawing needs: who uses a node, where it stands, what a block holds. */
  function prepare(graph) {
    const { nodes } = graph;
    graph.blocks = [];
    graph.home = new Array(nodes.length).fill(null);
    nodes.forEach((node, i) => { node.index = i; node.uses = []; node.marks = marksOf(node); });
    nodes.forEach((node) => node.inputs.forEach((given) => {
      if (given.from !== undefined) nodes[given.from].uses.push(node.index);
    }));
    const number = (members, parent, about) => {
      const block = { ...about, members: [], parent, id: `b${graph.blocks.length}`, ops: 0, leaves: 0, bytes: 0, marks: [] };
      graph.blocks.push(block);
      block.depth = parent ? parent.depth + 1 : 0;
      for (const member of members) {
        if (typeof member === "number") {
          graph.home[member] = block;
          block.members.push(nodes[member]);
          count(block, nodes[member]);
        } else {
          const inner = number(member.members, block, { name: member.name, path: member.path, class: member.class });
          block.members.push(inner);
          block.ops += inner.ops; block.leaves += inner.leaves; block.bytes += inner.bytes;
          inner.marks.forEach((mark) => addMark(block, mark));
        }
      }
      return block;
    };
    graph.root = number(graph.tree, null, { name: graph.title });
    return graph;
  }

  function count(block, node) {
    if (isLeaf(node)) block.leaves += 1; else block.ops += 1;
    block.bytes += node.bytes || 0;
    node.marks.forEach((mark) => addMark(block, mark));
  }

  function addMark(block, mark) {
    if (mark.kind !== "zero" && !block.marks.some((other) => other.text === mark.text)) block.marks.push(mark);
  }

  const isLeaf = (node) => node.kind === "leaf" || node.kind === "parameter";
  const isBlock = (thing) => thing.members !== undefined;
  const idOf = (thing) => (isBlock(thing) ? thing.id : `n${thing.index}`);

  /** What is wrong with a node's values or gradients, or is explained of it. */
  function marksOf(node) {
    const found = new Map();
    const mark = (kind, text, says) => { if (!found.has(text)) found.set(text, { kind, text, says }); };
    if (node.text) mark("told", "why", node.text);
    for (const result of node.results) {
      for (const [what, stats] of [["", result.value], ["grad ", result.gradient]]) {
        if (!stats || !stats.size) continue;
        const of = what ? "gradient" : "value";
        if (stats.nan > 0) mark("nan", `${what}NaN`, `${share(stats.nan)} of the ${of} is NaN`);
        if (stats.inf > 0) mark("inf", `${what}inf`, `${share(stats.inf)} of the ${of} is infinite`);
        if (what && stats.zeros === 1) mark("zero", "grad 0", "the gradient is zero everywhere");
      }
    }
    return [...found.values()];
  }

  /** Choose which blocks are open at first: level by level, as long as no more is shown than can be seen at once. */
  function openAtFirst(graph) {
    const open = new Set([graph.root.id]);
    let shown = graph.root.members.length;
    let level = graph.root.members.filter(isBlock);
    while (level.length) {
      const more = level.reduce((sum, block) => sum + block.members.length - 1, 0);
      if (shown + more > AT_FIRST) break;
      level.forEach((block) => open.add(block.id));
      shown += more;
      level = level.flatMap((block) => block.members.filter(isBlock));
    }
    return open;
  }

  /** Return what is shown, given the open blocks: nodes and folded blocks, the open blocks around them, and the edges. */
  function visible(graph, open) {
    const shown = [], groups = [], stands = new Array(graph.nodes.length);
    const cover = (block, id) => block.members.forEach((m) => (isBlock(m) ? cover(m, id) : (stands[m.index] = id)));
    const walk = (block) => {
      for (const member of block.members) {
        if (isBlock(member) && open.has(member.id)) {
          groups.push(member);
          walk(member);
        } else {
          shown.push(member);
          if (isBlock(member)) cover(member, member.id); else stands[member.index] = idOf(member);
        }
      }
    };
    walk(graph.root);
    const edges = new Map();
    graph.nodes.forEach((node) => node.inputs.forEach((given) => {
      if (given.from === undefined) return;
      const from = stands[given.from], to = stands[node.index];
      if (from === to) return;
      const key = `${from}>${to}`;
      const edge = edges.get(key) || { from, to, count: 0, nan: false, zero: true };
      edge.count += 1;
      edge.nan = edge.nan || given.sent === "nan";
      edge.zero = edge.zero && given.sent === "zero";
      edges.set(key, edge);
    }));
    const far = farther(graph, shown, edges);
    return { shown, groups, edges: [...edges.values()].filter((edge) => !far.includes(edge)), far, stands };
  }

  /** The edges from leaves that much of what is shown uses, as a recurrent net its weights: named there; one alone is drawn. */
  function farther(graph, shown, edges) {
    const leaves = new Map(shown.filter((thing) => !isBlock(thing) && isLeaf(thing)).map((leaf) => [idOf(leaf), []]));
    for (const edge of edges.values()) if (leaves.has(edge.from)) leaves.get(edge.from).push(edge);
    return [...leaves.values()].filter((own) => own.length > NEAR).flatMap((own) => own.slice(1));
  }

  /** Lay out what is shown; `sideways` for the inputs on the left instead of at the top. */
  function scene(graph, open, sideways) {
    const found = visible(graph, open);
    const many = found.shown.length > 150;
    const layout = new dagre.graphlib.Graph({ compound: true });
    layout.setGraph({
      rankdir: sideways ? "LR" : "TB", nodesep: many ? 14 : 22, ranksep: sideways ? 44 : 34, edgesep: 10, marginx: 16, marginy: 16,
      ranker: "network-simplex",
    });
    layout.setDefaultEdgeLabel(() => ({}));
    const boxes = new Map();
    for (const thing of found.shown) {
      const box = { thing, id: idOf(thing), ...texts(graph, thing) };
      const given = found.far.filter((edge) => edge.to === box.id).map((edge) => nameOf(graph, Number(edge.from.slice(1))));
      if (given.length) box.detail += ` · of ${given.slice(0, 3).join(", ")}${given.length > 3 ? ", …" : ""}`;
      const uses = found.far.filter((edge) => edge.from === box.id).length;
      if (uses) box.detail += ` · used ${uses + 1} times here`;
      box.width = Math.max(56, 20 + Math.max(widthOf(box.label), 6.7 * box.detail.length + 4, marksWidth(thing.marks)));
      box.height = thing.marks.length ? HEIGHT + MARK + GAP : HEIGHT;
      boxes.set(box.id, box);
      layout.setNode(box.id, { width: box.width, height: box.height });
    }
    for (const block of found.groups) layout.setNode(block.id, { label: block.name });
    for (const thing of [...found.shown, ...found.groups]) {
      const parent = isBlock(thing) ? thing.parent : graph.home[thing.index];
      if (parent && parent !== graph.root) layout.setParent(idOf(thing), parent.id);
    }
    for (const edge of found.edges) layout.setEdge(edge.from, edge.to, {});
    dagre.layout(layout);
    for (const box of boxes.values()) Object.assign(box, middle(layout.node(box.id)));
    const groups = found.groups.map((block) => {
      const at = layout.node(block.id);
      return { thing: block, id: block.id, x: at.x, y: at.y - 8, width: at.width, height: at.height + 16 };
    });
    const edges = found.edges.map((edge) => ({ ...edge, points: layout.edge(edge.from, edge.to).points }));
    return { boxes, groups, edges, far: found.far, stands: found.stands, ...extent([...boxes.values(), ...groups]) };
  }

  /** About how wide a label is in the widest of the fonts that it may be written in: Python, too, draws, without any font. */
  function widthOf(label) {
    const classes = [[/[ilIj.,:;'|! ]/, 4.9], [/[frt_()[\]-]/, 6.2], [/[mwMW…▸=]/, 13.6], [/[A-Z]/, 9.9]];
    const glyph = (c) => (classes.find(([among]) => among.test(c)) || [null, 8.8])[1];
    return [...label].reduce((sum, c) => sum + glyph(c), 0);
  }

  const markWidth = (mark) => 10 + 6.4 * mark.text.length;
  const marksWidth = (marks) => marks.reduce((sum, mark) => sum + markWidth(mark) + GAP, 0);

  const middle = ({ x, y }) => ({ x, y });

  function extent(rectangles) {
    const left = Math.min(...rectangles.map((r) => r.x - r.width / 2)), right = Math.max(...rectangles.map((r) => r.x + r.width / 2));
    const top = Math.min(...rectangles.map((r) => r.y - r.height / 2)), bottom = Math.max(...rectangles.map((r) => r.y + r.height / 2));
    return { left: left - 12, top: top - 12, width: right - left + 24, height: bottom - top + 24 };
  }

  /** What is written on a node or a folded block. */
  function texts(graph, thing) {
    if (isBlock(thing)) {
      const parts = [counted(thing.ops, "op")];
      if (thing.leaves) parts.push(counted(thing.leaves, "leaf", "leaves"));
      return { label: clipped(`▸ ${titleOf(thing)}`), detail: parts.join(" · ") };
    }
    const name = nameOf(graph, thing.index);
    const label = isLeaf(thing) ? name || thing.kind : name ? `${name} = ${thing.op}` : thing.op;
    return { label: clipped(label), detail: detailOf(thing) };
  }

  function nameOf(graph, index) {
    const [name] = graph.nodes[index].results.flatMap((result) => result.names || []);
    return name ? within(name, graph.home[index]) : "";
  }

  const thousands = (n) => n.toLocaleString("en");
  const counted = (n, one, many) => `${thousands(n)} ${n === 1 ? one : many || `${one}s`}`;
  const clipped = (text) => (text.length > 34 ? `${text.slice(0, 20)}…${text.slice(-13)}` : text);
  const titleOf = (block) => (block.class ? `${block.name}: ${block.class}` : block.name);

  /** A dotted name without the names of the modules around it. */
  function within(name, block) {
    for (let around = block; around; around = around.parent) {
      if (around.path && name.startsWith(`${around.path}.`)) return name.slice(around.path.length + 1);
    }
    return name;
  }

  function detailOf(node) {
    if (node.results.length > 1) return `${node.results.length} results`;
    const [{ shape, value, gradient }] = node.results;
    const single = value && value.size === 1 ? scalar(value) : null;
    const slope = gradient && gradient.size === 1 ? scalar(gradient) : null;
    if (single !== null) return slope === null ? single : `${single} · grad ${slope}`;
    if (shape === undefined) return "shape unknown";
    return slope === null ? shapeText(shape) : `grad ${slope}`;
  }

  const scalar = (stats) => number(stats.nan ? "nan" : stats.min !== undefined ? stats.min : stats.text);
  const shapeText = (shape) => `[${shape.join(", ")}]`;

  /** A number to four digits; one that JSON cannot hold comes as its name. */
  function number(x) {
    if (typeof x !== "number") return x === undefined || x === null ? "–" : String(x).replace(/^\[|\]$/g, "");
    if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
    const text = x.toPrecision(4);
    return text.includes(".") ? text.replace(/\.?0+(?=e|$)/, "") : text;
  }

  const share = (part) => (part === 1 ? "all" : part > 0 && part < 0.001 ? "under 0.1 %" : `${number(Math.round(part * 1000) / 10)} %`);
  const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

  /** The SVG of a scene, without the element around it. */
  function markup(drawn) {
    const arrow = (id, cls) =>
      `<marker id="${id}" class="${cls}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" ` +
      `markerUnits="userSpaceOnUse" orient="auto"><path class="arrow" d="M0,0.8 L8,4 L0,7.2 Z"/></marker>`;
    return `<defs>${arrow("arrow", "")}${arrow("arrow-nan", "edge-nan")}</defs>` +
      drawn.groups.map(groupMarkup).join("") + drawn.edges.map(edgeMarkup).join("") +
      [...drawn.boxes.values()].map(boxMarkup).join("");
  }

  function groupMarkup({ thing, id, x, y, width, height }) {
    const left = x - width / 2, top = y - height / 2;
    return `<g class="group" data-id="${id}" role="button" tabindex="-1" aria-expanded="true" ` +
      `aria-label="${escaped(`${titleOf(thing)}, open block`)}">` +
      `<rect class="shape" x="${left}" y="${top}" width="${width}" height="${height}" rx="8"/>` +
      `<text class="label" x="${left + 9}" y="${top + 15}">${escaped(`▾ ${titleOf(thing)}`)}</text></g>`;
  }

  function edgeMarkup(edge) {
    const classes = ["edge", edge.count > 1 && "several", edge.nan && "nan", edge.zero && "zero"].filter(Boolean).join(" ");
    return `<path class="${classes}" data-from="${edge.from}" data-to="${edge.to}" d="${curve(edge.points)}" ` +
      `marker-end="url(#arrow${edge.nan ? "-nan" : ""})"/>`;
  }

  /** A smooth line through points: straight ends, quadratic bends between the middles of its pieces. */
  function curve(points) {
    const p = points.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`);
    if (points.length < 3) return `M${p.join(" L")}`;
    let path = `M${p[0]}`;
    for (let i = 1; i < points.length - 1; i++) {
      const end = i === points.length - 2 ? points[i + 1] : { x: (points[i].x + points[i + 1].x) / 2, y: (points[i].y + points[i + 1].y) / 2 };
      path += ` Q${p[i]} ${end.x.toFixed(1)},${end.y.toFixed(1)}`;
    }
    return path;
  }

  function boxMarkup({ thing, id, x, y, width, height, label, detail }) {
    const block = isBlock(thing);
    const classes = ["node", block ? "block" : thing.kind, thing.root && "root"].filter(Boolean).join(" ");
    const rect = (cls, dx, dy, rx) =>
      `<rect class="${cls}" x="${-width / 2 + dx}" y="${-height / 2 + dy}" width="${width}" height="${height}" rx="${rx}"/>`;
    const behind = block ? rect("behind", 6, 6, 6) + rect("behind", 3, 3, 6) : "";
    const top = -height / 2, row = (text, dy) => `y="${top + dy}">${escaped(text)}</text>`;
    const says = [label, detail, ...thing.marks.map((mark) => mark.says)].join(", ");
    return `<g class="${classes}" data-id="${id}" transform="translate(${x.toFixed(1)},${y.toFixed(1)})" role="button" tabindex="-1" ` +
      `${block ? 'aria-expanded="false" ' : ""}aria-label="${escaped(says)}">` +
      `${behind}${rect("shape", 0, 0, !block && isLeaf(thing) ? HEIGHT / 2 : 6)}` +
      `<text class="label" ${row(label, detail ? 18 : 25)}` +
      `${detail ? `<text class="detail" ${row(detail, 34)}` : ""}${marksMarkup(thing.marks, top + HEIGHT - 2)}</g>`;
  }

  /** A row of badges below a node's texts: where edges begin and end, it would hide their arrows. */
  function marksMarkup(marks, top) {
    let left = (GAP - marksWidth(marks)) / 2;
    return marks.map((mark) => {
      const wide = markWidth(mark), at = `translate(${left.toFixed(1)},${top})`;
      left += wide + GAP;
      return `<g class="mark ${mark.kind}" transform="${at}"><rect width="${wide.toFixed(1)}" height="${MARK}" rx="${MARK / 2}"/>` +
        `<text x="${(wide / 2).toFixed(1)}" y="11">${escaped(mark.text)}</text></g>`;
    }).join("");
  }

  /** A whole SVG document, with a style sheet. */
  function picture(graph, style) {
    prepare(graph);
    const drawn = scene(graph, openAtFirst(graph), false);
    const n = (x) => Math.round(x * 10) / 10;
    return `<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img" width="${n(drawn.width)}" height="${n(drawn.height)}" ` +
      `viewBox="${n(drawn.left)} ${n(drawn.top)} ${n(drawn.width)} ${n(drawn.height)}"><title>${escaped(graph.title)}</title>` +
      `<style>${style}</style>${markup(drawn)}</svg>\n`;
  }

  return { prepare, openAtFirst, scene, markup, picture, isLeaf, isBlock, idOf, titleOf, number, share, shapeText, counted, thousands, within };
})();
