// The map: marks by WebGL (or without it by a plain canvas), gestures, and a tooltip that the server fills.

const SHADERS = {
  vertex: `attribute vec4 mark; uniform vec4 box; uniform float size; uniform vec2 cell; varying vec2 told;
    void main() {
      vec2 place = (mark.xy - box.xz) / (box.yw - box.xz);
      gl_Position = vec4(2.0 * place - 1.0, 0.0, 1.0);
      gl_PointSize = size;
      told = mark.zw;
    }`,
  fragment: `precision mediump float; varying vec2 told; uniform vec3 classes[10]; uniform vec3 ramp[5]; uniform vec2 limits;
    uniform float kind; uniform float round; uniform vec3 none;
    vec3 colour() {
      if (told.x < -1e29) return none;
      if (kind > 0.5) { vec3 found = classes[0]; for (int i = 0; i < 10; i++) if (abs(float(i) - told.x) < 0.5) found = classes[i]; return found; }
      float t = 4.0 * clamp((told.x - limits.x) / (limits.y - limits.x), 0.0, 1.0);
      vec3 found = ramp[4];
      for (int i = 0; i < 4; i++) if (t >= float(i) && t <= float(i + 1)) found = mix(ramp[i], ramp[i + 1], t - float(i));
      return found;
    }
    void main() {
      if (round > 0.5 && length(gl_PointCoord - 0.5) > 0.5) discard;
      float alpha = round > 0.5 ? 0.75 : 0.15 + 0.85 * told.y;
      gl_FragColor = vec4(colour() * alpha, alpha);
    }`,
};
const NOWHERE = -1e30; // stands for NaN, which a shader may not see
const KINDS = { place: "place", line: "line", lasso: "lasso", zoom: "box" };

let page, canvas, view, drawn, pressed, hovering;

export function clearMap() { pressed = null; }

export async function mountMap(root, kept, api) {
  const fresh = root.querySelector("#map");
  if (!fresh) { canvas = null; return; }
  page = api;
  canvas = kept && kept !== fresh ? reuse(kept, fresh) : fresh;
  if (!canvas.dataset.wired) wire(canvas);
  view = canvas.dataset.box.split(" ").map(Number);
  fit();
  drawn = await ask();
  draw();
}

function reuse(kept, fresh) {
  for (const { name, value } of fresh.attributes) if (!["width", "height"].includes(name)) kept.setAttribute(name, value);
  fresh.replaceWith(kept);
  return kept;
}

async function ask() {
  const answer = await fetch(`/map/marks?${page.query({ box: text(view), place: "", line: "", lasso: "" })}`);
  if (!answer.ok) return null;
  const bytes = await answer.arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const marks = new Float32Array(bytes, 4 + length);
  for (let i = 2; i < marks.length; i += 4) if (Number.isNaN(marks[i])) marks[i] = NOWHERE;
  return { head, marks };
}

// ---- drawing

function fit() {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
}

const colour = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
};
const palette = () => Array.from({ length: 10 }, (_, i) => colour(`--c${i}`));
const ramp = () => Array.from({ length: 5 }, (_, i) => colour(`--s${i}`));

function draw() {
  if (!canvas || !drawn) return;
  const { head } = drawn;
  const ratio = window.devicePixelRatio || 1;
  const across = canvas.width / (view[1] - view[0]), up = canvas.height / (view[3] - view[2]);
  const size = head.cell ? Math.ceil(Math.max(head.cell[0] * across, head.cell[1] * up)) : ratio * Math.min(7, Math.max(2.5, 220 / Math.sqrt(head.count + 1)));
  const gl = canvas.getContext("webgl", { preserveDrawingBuffer: true, premultipliedAlpha: true, antialias: true });
  gl ? drawGL(gl, size) : drawPlain(size);
  canvas.dataset.drawn = gl ? "webgl" : "canvas";
  const dense = head.cell ? `, too many to show singly: ${head.count.toLocaleString("en")} cells, darker where rows are denser` : "";
  document.getElementById("inside").textContent = `${head.inside.toLocaleString("en")} of ${head.rows.toLocaleString("en")} rows in the window${dense}.`;
  drawAxes();
  drawOver();
}

function program(gl) {
  if (canvas.gl) return canvas.gl;
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, SHADERS.vertex], [gl.FRAGMENT_SHADER, SHADERS.fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  const buffer = gl.createBuffer();
  canvas.gl = { made, buffer };
  return canvas.gl;
}

function drawGL(gl, size) {
  const { made, buffer } = program(gl);
  const { head, marks } = drawn;
  const at = (name) => gl.getUniformLocation(made, name);
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
  gl.useProgram(made);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, marks, gl.STATIC_DRAW);
  const place = gl.getAttribLocation(made, "mark");
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, 4, gl.FLOAT, false, 16, 0);
  gl.uniform4f(at("box"), ...view);
  gl.uniform1f(at("size"), size);
  gl.uniform1f(at("kind"), head.classes === null ? 0 : 1);
  gl.uniform1f(at("round"), head.cell ? 0 : 1);
  gl.uniform2f(at("limits"), ...head.limits);
  gl.uniform3fv(at("classes"), palette().flat());
  gl.uniform3fv(at("ramp"), ramp().flat());
  gl.uniform3f(at("none"), ...colour("--faint"));
  gl.drawArrays(gl.POINTS, 0, head.count);
}

function drawPlain(size) {
  const context = canvas.getContext("2d");
  const { head, marks } = drawn;
  const classes = palette(), scale = ramp(), none = colour("--faint");
  const css = (rgb, alpha) => `rgba(${rgb.map((v) => Math.round(255 * v)).join(",")},${alpha})`;
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < marks.length; i += 4) {
    const t = 4 * Math.min(1, Math.max(0, (marks[i + 2] - head.limits[0]) / (head.limits[1] - head.limits[0])));
    const low = Math.min(3, Math.floor(t));
    const mixed = () => scale[low].map((v, k) => v + (t - low) * (scale[low + 1][k] - v));
    const rgb = marks[i + 2] <= NOWHERE ? none : head.classes === null ? mixed() : classes[marks[i + 2] % 10];
    context.fillStyle = css(rgb, head.cell ? 0.15 + 0.85 * marks[i + 3] : 0.75);
    const [x, y] = pixel(marks[i], marks[i + 1], canvas.width, canvas.height);
    context.fillRect(x - size / 2, y - size / 2, size, size);
  }
}

const pixel = (x, y, width, height) => [((x - view[0]) / (view[1] - view[0])) * width, (1 - (y - view[2]) / (view[3] - view[2])) * height];

function drawAxes() {
  const axes = document.getElementById("axes");
  const { width, height } = canvas.getBoundingClientRect();
  axes.replaceChildren();
  for (const [low, high, across] of [[view[0], view[1], true], [view[2], view[3], false]]) {
    for (const tick of ticks(low, high)) {
      const mark = document.createElement("span");
      mark.textContent = String(tick).replace("-", "−");
      const [x, y] = pixel(across ? tick : view[0], across ? view[2] : tick, width, height);
      mark.className = across ? "below" : "beside-axis";
      mark.style.left = `${across ? x : 0}px`;
      mark.style.top = `${across ? height : y}px`;
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
    pressed = { mode: mode(), trail: [placeOf(event)] };
    hide();
  });
  target.addEventListener("pointermove", (event) => {
    if (!pressed) { hover(event); return; }
    pressed.trail.push(placeOf(event));
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
  new ResizeObserver(() => { fit(); draw(); }).observe(target);
  document.querySelectorAll("#modes input").forEach((radio) => radio.addEventListener("change", () => {
    document.querySelectorAll("#modes input").forEach((other) => { other.checked = other === radio; });
  }));
}

function finish({ mode: made, trail }) {
  const first = trail[0], last = trail.at(-1);
  const moved = Math.hypot(...[0, 1].map((k) => (last[k] - first[k]) / (view[2 * k + 1] - view[2 * k]))) > 0.01;
  if (made === "place" || !moved) page.set("place", text(last));
  else if (made === "line") page.set("line", text([...first, ...last]));
  else if (made === "zoom") page.set("box", text([0, 1].flatMap((k) => [Math.min(first[k], last[k]), Math.max(first[k], last[k])])));
  else if (trail.length > 2) {
    const step = Math.ceil(trail.length / 120);
    page.set("lasso", text(trail.filter((_, i) => i % step === 0 || i === trail.length - 1).flat()));
  }
}

let zooming = 0;
function zoom([x, y], factor) {
  view = [x + (view[0] - x) * factor, x + (view[1] - x) * factor, y + (view[2] - y) * factor, y + (view[3] - y) * factor];
  draw(); // at once with the marks at hand, then with those of the new window
  clearTimeout(zooming);
  zooming = setTimeout(() => page.set("box", text(view)), 200);
}

function keys(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const middle = [(view[0] + view[1]) / 2, (view[2] + view[3]) / 2];
  const at = canvas.dataset.place ? canvas.dataset.place.split(" ").map(Number) : middle;
  if (event.key in steps) {
    event.preventDefault();
    const moved = at.map((v, k) => v + steps[event.key][k] * 0.03 * (view[2 * k + 1] - view[2 * k]));
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
