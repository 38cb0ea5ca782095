// The map: what the pointer and the keys do on it, its axes, and a tooltip that the server fills.
import { paint, read } from "./marks.js";

const DEEPEST = 1e-4, WIDEST = 20; // how far one zooms, in widths of the window that shows all
const SETTLED = 120; // milliseconds without a move, until the marks of the new window are asked for

let page, canvas, view, all, drawn, pressed, hovering;
let settling = 0, painting = 0, asked = 0;

export function clearMap() { pressed = null; }

export async function mountMap(root, kept, api) {
  const fresh = root.querySelector("#map");
  if (!fresh) { canvas = null; return; }
  page = api;
  canvas = kept && kept !== fresh ? reuse(kept, fresh) : fresh;
  if (!canvas.dataset.wired) wire(canvas);
  const numbers = (text) => text.split(" ").map(Number);
  [view, all] = [numbers(canvas.dataset.box), numbers(canvas.dataset.all)];
  fit();
  await renew();
}

function reuse(kept, fresh) {
  for (const { name, value } of fresh.attributes) if (!["width", "height"].includes(name)) kept.setAttribute(name, value);
  fresh.replaceWith(kept);
  return kept;
}

// The marks of the window, unless they are at hand; an answer that a later question has overtaken is dropped.
async function renew() {
  const question = page.query({ box: text(view), place: "", line: "", lasso: "" });
  const turn = ++asked;
  if (question !== drawn?.question) {
    const answer = await fetch(`/map/marks?${question}`);
    const found = answer.ok ? { ...read(await answer.arrayBuffer()), question } : null;
    if (turn !== asked) return;
    drawn = found;
  }
  draw();
}

// ---- drawing

function fit() {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
}

function draw() {
  if (!canvas || !drawn) return;
  const { head } = drawn;
  canvas.dataset.drawn = paint(canvas, drawn, view, window.devicePixelRatio || 1);
  const dense = head.cell ? ", too many to show singly: darker where rows are denser" : "";
  document.getElementById("inside").textContent = `${head.inside.toLocaleString("en")} of ${head.rows.toLocaleString("en")} rows in the window${dense}.`;
  drawAxes();
  drawOver();
}

const pixel = (x, y, width, height) => [((x - view[0]) / (view[1] - view[0])) * width, (1 - (y - view[2]) / (view[3] - view[2])) * height];

function drawAxes() {
  const axes = document.getElementById("axes");
  axes.replaceChildren();
  for (const [low, high, across] of [[view[0], view[1], true], [view[2], view[3], false]]) {
    for (const tick of ticks(low, high)) {
      const mark = document.createElement("span");
      mark.textContent = String(tick).replace("-", "−");
      const [x, y] = pixel(across ? tick : view[0], across ? view[2] : tick, 100, 100); // per cent: right at any width
      mark.className = across ? "below" : "beside-axis";
      mark.style.left = `${x}%`;
      mark.style.top = `${y}%`;
      axes.append(mark);
    }
  }
}

function ticks(low, high) {
  const rough = (high - low) / 6;
  const scale = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * scale).find((s) => s >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

function drawOver() {
  const over = document.getElementById("over");
  const { width, height } = canvas.getBoundingClientRect();
  over.setAttribute("viewBox", `0 0 ${width} ${height}`);
  over.replaceChildren();
  const add = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    over.append(made);
  };
  const pairs = (data) => {
    const flat = (data || "").split(" ").filter(Boolean).map(Number);
    return Array.from({ length: flat.length / 2 }, (_, i) => pixel(flat[2 * i], flat[2 * i + 1], width, height));
  };
  const points = (list) => list.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" ");
  const { place, line, lasso } = canvas.dataset;
  if (lasso) add("polygon", { points: points(pairs(lasso)) });
  if (line) add("polyline", { points: points(pairs(line)) });
  for (const [x, y] of pairs(line)) add("circle", { cx: x, cy: y, r: 4 });
  for (const [x, y] of pairs(place)) add("path", { d: `M${x - 9} ${y}h18M${x} ${y - 9}v18`, class: "cross" });
  if (pressed?.trail.length > 1) {
    const trail = pressed.trail.map(([x, y]) => pixel(x, y, width, height));
    const [[ax, ay], [bx, by]] = [trail[0], trail.at(-1)];
    if (pressed.mode === "zoom") add("rect", { x: Math.min(ax, bx), y: Math.min(ay, by), width: Math.abs(bx - ax), height: Math.abs(by - ay) });
    else add("polyline", { points: points(pressed.mode === "lasso" ? trail : [trail[0], trail.at(-1)]) });
  }
}

// ---- gestures

const text = (values) => values.map((v) => Number(v.toPrecision(6))).join(" ");
const mode = () => document.querySelector("#modes input:checked")?.value ?? "place";

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = 1 - (event.clientY - box.top) / box.height;
  return [view[0] + x * (view[1] - view[0]), view[2] + y * (view[3] - view[2])];
}

function wire(target) {
  target.dataset.wired = "1";
  target.addEventListener("pointerdown", (event) => {
    target.setPointerCapture(event.pointerId);
    pressed = { mode: event.shiftKey ? "move" : mode(), trail: [placeOf(event)] };
    hide();
  });
  target.addEventListener("pointermove", (event) => {
    if (!pressed) { hover(event); return; }
    const [x, y] = placeOf(event);
    if (pressed.mode === "move") { move(pressed.trail[0][0] - x, pressed.trail[0][1] - y); pressed.moved = true; return; }
    pressed.trail.push([x, y]);
    drawOver();
  });
  target.addEventListener("pointerup", () => {
    const done = pressed;
    pressed = null;
    if (done) finish(done);
  });
  target.addEventListener("pointercancel", () => { pressed = null; drawOver(); });
  target.addEventListener("pointerleave", hide);
  target.addEventListener("wheel", (event) => { event.preventDefault(); zoom(placeOf(event), event.deltaY > 0 ? 1.2 : 1 / 1.2); }, { passive: false });
  target.addEventListener("keydown", keys);
  target.addEventListener("redraw", draw); // before it is saved
  target.addEventListener("webglcontextlost", (event) => event.preventDefault());
  target.addEventListener("webglcontextrestored", () => { target.kit = null; draw(); });
  new ResizeObserver(() => { fit(); draw(); }).observe(target);
}

function finish({ mode: made, trail, moved: went }) {
  if (went) return;
  const first = trail[0], last = trail.at(-1);
  const moved = Math.hypot(...[0, 1].map((k) => (last[k] - first[k]) / (view[2 * k + 1] - view[2 * k]))) > 0.01;
  if (made === "place" || !moved) page.set("place", text(last));
  else if (made === "line") page.set("line", text([...first, ...last]));
  else if (made === "zoom") look([0, 1].flatMap((k) => [Math.min(first[k], last[k]), Math.max(first[k], last[k])]));
  else if (trail.length > 2) {
    const step = Math.ceil(trail.length / 120);
    page.set("lasso", text(trail.filter((_, i) => i % step === 0 || i === trail.length - 1).flat()));
  }
}

// Another window: drawn at once with the marks at hand, and with its own when it stands still.
function look(next) {
  const wide = (k) => (next[k + 1] - next[k]) / (all[k + 1] - all[k]);
  if (Math.min(wide(0), wide(2)) < DEEPEST || Math.max(wide(0), wide(2)) > WIDEST) return;
  view = next;
  painting ||= requestAnimationFrame(() => { painting = 0; draw(); });
  clearTimeout(settling);
  settling = setTimeout(() => {
    page.set("box", text(view), { ask: false });
    page.remember();
    renew();
  }, SETTLED);
}

function zoom([x, y], factor) {
  look([x + (view[0] - x) * factor, x + (view[1] - x) * factor, y + (view[2] - y) * factor, y + (view[3] - y) * factor]);
}

function move(across, up) {
  look([view[0] + across, view[1] + across, view[2] + up, view[3] + up]);
}

function keys(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const middle = [(view[0] + view[1]) / 2, (view[2] + view[3]) / 2];
  const at = canvas.dataset.place ? canvas.dataset.place.split(" ").map(Number) : middle;
  if (event.key in steps) {
    event.preventDefault();
    const step = (k) => steps[event.key][k] * (event.shiftKey ? 0.15 : 0.03) * (view[2 * k + 1] - view[2 * k]);
    if (event.shiftKey) { move(step(0), step(1)); return; }
    const moved = at.map((v, k) => v + step(k));
    canvas.dataset.place = text(moved);
    drawOver();
    page.set("place", canvas.dataset.place);
  }
  if (event.key === "+" || event.key === "=") zoom(at, 1 / 1.2);
  if (event.key === "-") zoom(at, 1.2);
}

// ---- the tooltip: the server is asked once it has answered the last question

function hide() {
  hovering = null;
  const box = document.getElementById("hover");
  if (box) box.hidden = true;
}

async function hover(event) {
  const waiting = hovering;
  hovering = event;
  if (waiting) return;
  while (hovering) {
    const now = hovering;
    const answer = await fetch(`/map/hover?${page.query({ place: text(placeOf(now)), line: "", lasso: "", box: "" })}`);
    const told = answer.ok ? await answer.text() : "";
    if (!hovering) return;
    showHover(now, told);
    if (hovering === now) hovering = null;
  }
}

function showHover(event, told) {
  const box = document.getElementById("hover");
  const plot = document.getElementById("plot").getBoundingClientRect();
  const inside = new DOMParser().parseFromString(told, "text/html").body.childNodes;
  box.replaceChildren(...inside);
  box.hidden = !told;
  const left = event.clientX - plot.left, right = left > plot.width / 2;
  box.style.left = right ? "auto" : `${left + 16}px`;
  box.style.right = right ? `${plot.width - left + 16}px` : "auto";
  box.style.top = `${Math.max(0, event.clientY - plot.top - 40)}px`;
}
