// The decoding grid of a report: a place chosen by pointer or arrow keys is shown large, with its coordinates.
"use strict";
for (const walk of document.querySelectorAll("[data-walk]")) {
  const { axes, names, values } = JSON.parse(walk.dataset.walk);
  const field = walk.querySelector(".field"), mark = walk.querySelector(".mark");
  const told = walk.querySelector(".told"), canvas = walk.querySelector("canvas"), sheet = walk.querySelector("img");
  const across = axes[0].length, down = axes.length > 1 ? axes[1].length : 1;
  let place = [Math.floor(across / 2), Math.floor(down / 2)];
  const number = (v) => String(Number(v.toPrecision(4))).replace("-", "−");
  const show = () => {
    const [i, j] = place;
    told.textContent = axes.map((axis, k) => `${names[k]}: ${number(axis[place[k]])}`).join(", ");
    Object.assign(mark.style, { left: `${(100 * i) / across}%`, top: `${(100 * (down - 1 - j)) / down}%`, width: `${100 / across}%`, height: `${100 / down}%` });
    if (canvas) {
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(sheet, i * canvas.width, (down - 1 - j) * canvas.height, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
    } else walk.querySelectorAll(".large td").forEach((cell, k) => { cell.textContent = values[j * across + i][k]; });
  };
  const move = (i, j) => {
    place = [Math.min(across - 1, Math.max(0, i)), Math.min(down - 1, Math.max(0, j))];
    show();
  };
  field.addEventListener("pointermove", (event) => {
    const box = field.getBoundingClientRect();
    move(Math.floor(((event.clientX - box.left) / box.width) * across), down - 1 - Math.floor(((event.clientY - box.top) / box.height) * down));
  });
  field.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(place[0] + step[0], place[1] + step[1]);
  });
  sheet && !sheet.complete ? sheet.addEventListener("load", show) : show();
}
