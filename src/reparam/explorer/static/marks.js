// The marks of the map: single rows as discs, or their density as a picture of cells; by WebGL, or on a plain canvas.

const DISCS = {
  vertex: `attribute vec2 place; attribute vec4 colour; uniform vec4 view; uniform float size; varying vec4 tint;
    void main() {
      gl_Position = vec4(2.0 * (place - view.xz) / (view.yw - view.xz) - 1.0, 0.0, 1.0);
      gl_PointSize = size;
      tint = colour;
    }`,
  fragment: `precision mediump float; varying vec4 tint;
    void main() {
      float alpha = tint.a * smoothstep(0.5, 0.36, length(gl_PointCoord - 0.5));
      gl_FragColor = vec4(tint.rgb * alpha, alpha);
    }`,
};
const CELLS = {
  vertex: `attribute vec2 place; uniform vec4 view; uniform vec4 region; varying vec2 at;
    void main() {
      at = place;
      vec2 there = mix(region.xz, region.yw, place);
      gl_Position = vec4(2.0 * (there - view.xz) / (view.yw - view.xz) - 1.0, 0.0, 1.0);
    }`,
  fragment: `precision mediump float; uniform sampler2D cells; varying vec2 at;
    void main() { vec4 cell = texture2D(cells, at); gl_FragColor = vec4(cell.rgb * cell.a, cell.a); }`,
};
const CORNERS = new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]);

// What the server sent: a head as JSON, then x, y, value and weight of every mark.
export function read(bytes) {
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  return { head, marks: new Float32Array(bytes, 4 + length) };
}

// Draw into a window (x from, x to, y from, y to), and say by what.
export function paint(canvas, drawn, view, ratio) {
  drawn.colours ??= {};
  const theme = document.documentElement.dataset.theme;
  drawn.colours[theme] ??= coloured(drawn); // once for all windows
  const shown = { ...drawn, bytes: drawn.colours[theme], size: ratio * Math.min(7, Math.max(2.5, 220 / Math.sqrt(drawn.head.inside + 1))) };
  const gl = canvas.getContext("webgl", { premultipliedAlpha: true, antialias: false });
  gl ? paintGL(canvas, gl, shown, view) : paintPlain(canvas, shown, view);
  return gl ? "webgl" : "canvas";
}

// ---- colours

const variable = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
};
const variables = (letter, count) => Array.from({ length: count }, (_, i) => variable(`--${letter}${i}`));

// Red, green, blue and opacity of each mark, 0 to 255: of its class, of its value on the scale, or of none.
function coloured({ head, marks }) {
  const classes = variables("c", 10), scale = variables("s", 5), none = variable("--faint");
  const [low, high] = head.limits;
  const bytes = new Uint8Array(marks.length);
  for (let i = 0; i < marks.length; i += 4) {
    const value = marks[i + 2];
    if (!(head.classes === null || value >= 0) || Number.isNaN(value)) bytes.set(none, i);
    else if (head.classes !== null) bytes.set(classes[value % 10], i);
    else {
      const t = 4 * Math.min(1, Math.max(0, (value - low) / (high - low)));
      const from = Math.min(3, Math.floor(t));
      for (let k = 0; k < 3; k++) bytes[i + k] = Math.round(scale[from][k] + (t - from) * (scale[from + 1][k] - scale[from][k]));
    }
    bytes[i + 3] = 255 * (head.cell ? 0.15 + 0.85 * marks[i + 3] : 0.75);
  }
  return bytes;
}

// The cells of a region as a picture, the lowest row first: its colours, its width and its height.
function picture({ head, marks, bytes }) {
  const [x0, x1, y0, y1] = head.region;
  const [across, up] = [(x1 - x0) / head.cell[0], (y1 - y0) / head.cell[1]].map(Math.round);
  const pixels = new Uint8Array(4 * across * up);
  for (let i = 0; i < marks.length; i += 4) {
    const column = Math.floor((marks[i] - x0) / head.cell[0]), row = Math.floor((marks[i + 1] - y0) / head.cell[1]);
    pixels.set(bytes.subarray(i, i + 4), 4 * (row * across + column));
  }
  return { pixels, across, up };
}

// ---- WebGL

function paintGL(canvas, gl, shown, view) {
  const { head } = shown;
  const kit = (canvas.kit ??= { discs: linked(gl, DISCS), cells: linked(gl, CELLS), buffers: {} });
  if (kit.bytes !== shown.bytes) { upload(gl, kit, shown); kit.bytes = shown.bytes; } // moving and zooming send nothing
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const program = head.cell ? kit.cells : kit.discs;
  gl.useProgram(program);
  const uniform = (name) => gl.getUniformLocation(program, name);
  gl.uniform4f(uniform("view"), ...view);
  if (head.cell) {
    gl.uniform4f(uniform("region"), ...head.region);
    attribute(gl, program, "place", kit.buffers.corners, 2, gl.FLOAT, 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  } else {
    gl.uniform1f(uniform("size"), shown.size);
    attribute(gl, program, "place", kit.buffers.places, 2, gl.FLOAT, 16);
    attribute(gl, program, "colour", kit.buffers.colours, 4, gl.UNSIGNED_BYTE, 4);
    gl.drawArrays(gl.POINTS, 0, head.count);
  }
}

function linked(gl, { vertex, fragment }) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  return made;
}

function upload(gl, kit, shown) {
  const fill = (name, values) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, (kit.buffers[name] ??= gl.createBuffer()));
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  };
  if (!shown.head.cell) { fill("places", shown.marks); fill("colours", shown.bytes); return; }
  fill("corners", CORNERS);
  const { pixels, across, up } = picture(shown);
  gl.bindTexture(gl.TEXTURE_2D, (kit.texture ??= gl.createTexture()));
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, across, up, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  for (const name of ["TEXTURE_MIN_FILTER", "TEXTURE_MAG_FILTER"]) gl.texParameteri(gl.TEXTURE_2D, gl[name], gl.NEAREST);
  for (const name of ["TEXTURE_WRAP_S", "TEXTURE_WRAP_T"]) gl.texParameteri(gl.TEXTURE_2D, gl[name], gl.CLAMP_TO_EDGE);
}

function attribute(gl, program, name, buffer, size, type, stride) {
  const place = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, size, type, type === gl.UNSIGNED_BYTE, stride, 0);
}

// ---- without WebGL

function paintPlain(canvas, shown, view) {
  const context = canvas.getContext("2d");
  const { head, marks, bytes, size } = shown;
  const pixel = (x, y) => [((x - view[0]) / (view[1] - view[0])) * canvas.width, (1 - (y - view[2]) / (view[3] - view[2])) * canvas.height];
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (head.cell) {
    const { pixels, across, up } = picture(shown);
    const sheet = Object.assign(document.createElement("canvas"), { width: across, height: up });
    sheet.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels), across, up), 0, 0);
    const [left, bottom] = pixel(head.region[0], head.region[2]), [right, top] = pixel(head.region[1], head.region[3]);
    context.imageSmoothingEnabled = false;
    context.setTransform((right - left) / across, 0, 0, (top - bottom) / up, left, bottom); // the lowest row comes first
    context.drawImage(sheet, 0, 0);
    context.resetTransform();
    return;
  }
  for (let i = 0; i < marks.length; i += 4) {
    context.fillStyle = `rgba(${bytes[i]},${bytes[i + 1]},${bytes[i + 2]},${bytes[i + 3] / 255})`;
    const [x, y] = pixel(marks[i], marks[i + 1]);
    context.fillRect(x - size / 2, y - size / 2, size, size);
  }
}
