// A structure that can be turned: balls, sticks and edges of the cell, drawn on a canvas from far to near.
// Drag or arrow keys turn it, the wheel brings it nearer once it has been clicked, a double click puts it back.

function view(canvas, { points, kinds, colours, radii, bonds, edges }) {
  const STICK = 0.12; // half the width of a stick, Å
  const corners = [...points, ...edges.flat()];
  const middle = [0, 1, 2].map((k) => (Math.min(...corners.map((p) => p[k])) + Math.max(...corners.map((p) => p[k]))) / 2);
  const centred = (p) => p.map((x, k) => x - middle[k]);
  const [balls, box] = [points.map(centred), edges.map((edge) => edge.map(centred))];
  const largest = Math.max(...radii);
  const reach = Math.max(1.6, ...[...balls, ...box.flat()].map((p) => Math.hypot(...p) + largest)) * 1.03;
  const start = { turn: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], zoom: 1 };
  let now = start;

  const times = (p) => now.turn.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
  const turnBy = (right, up) => {
    const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
    const step = [[c, 0, s], [t * s, d, -t * c], [-d * s, t, d * c]];
    const turn = step.map((row) => [0, 1, 2].map((k) => row[0] * now.turn[0][k] + row[1] * now.turn[1][k] + row[2] * now.turn[2][k]));
    now = { ...now, turn };
    draw();
  };

  function draw() {
    const [width, height, sharp] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
    canvas.width = width * sharp;
    canvas.height = height * sharp;
    const pen = canvas.getContext("2d");
    const scale = (now.zoom * Math.min(width, height)) / (2 * reach);
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.lineCap = "butt";
    const at = (p) => [width / 2 + scale * p[0], height / 2 - scale * p[1]];
    const pale = (colour, z) => mixed(colour, 0.4 * Math.min(1, Math.max(0, (reach - z) / (2 * reach) - 0.25)));
    const line = (a, b, colour, thick) => {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.moveTo(...at(a));
      pen.lineTo(...at(b));
      pen.stroke();
    };
    const things = [];
    const turned = balls.map(times);
    turned.forEach((p, i) => {
      things.push([p[2], () => {
        const [[x, y], r] = [at(p), scale * radii[kinds[i]]];
        const shade = pen.createRadialGradient(x - 0.35 * r, y - 0.4 * r, 0.1 * r, x, y, r);
        const colour = pale(colours[kinds[i]], p[2]);
        shade.addColorStop(0, mixed(colour, 0.75));
        shade.addColorStop(0.5, colour);
        shade.addColorStop(1, mixed(colour, 0.45, [0, 0, 0]));
        pen.fillStyle = shade;
        pen.beginPath();
        pen.arc(x, y, r, 0, 2 * Math.PI);
        pen.fill();
      }]);
    });
    for (const [i, j] of bonds) {
      const half = turned[i].map((x, k) => (x + turned[j][k]) / 2);
      const length = Math.hypot(...turned[i].map((x, k) => half[k] - x));
      for (const end of [i, j]) {
        const within = Math.min(1, (0.8 * radii[kinds[end]]) / length); // of the ball, which hides it
        const from = turned[end].map((x, k) => x + within * (half[k] - x));
        const colour = mixed(pale(colours[kinds[end]], half[2]), 0.15, [0, 0, 0]);
        things.push([(half[2] + turned[end][2]) / 2 - 1e-3, () => line(from, half, colour, 2 * STICK * scale)]);
      }
    }
    for (const edge of box) {
      const pieces = 8; // of an edge, so that atoms before it hide it and those behind it do not
      const [a, b] = edge.map(times);
      const between = (s) => a.map((x, k) => x + (s / pieces) * (b[k] - x));
      for (let s = 0; s < pieces; s++) {
        const [p, q] = [between(s), between(s + 1)];
        const z = (p[2] + q[2]) / 2;
        things.push([z - largest, () => line(p, q, pale("#7b8794", z), 1.2)]); // balls hide what is within them
      }
    }
    things.sort((a, b) => a[0] - b[0]).forEach(([, paint]) => paint());
  }

  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null) return;
    turnBy(0.012 * (event.clientX - last[0]), 0.012 * (event.clientY - last[1]));
    last = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });
  canvas.addEventListener("dblclick", () => { now = start; draw(); });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return; // the page is scrolled
    event.preventDefault();
    now = { ...now, zoom: Math.min(20, Math.max(0.3, now.zoom * Math.exp(-0.0015 * event.deltaY))) };
    draw();
  }, { passive: false });
  canvas.addEventListener("pointerleave", () => { if (last === null) canvas.blur(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (!step) return;
    event.preventDefault();
    turnBy(...step);
  });
  new ResizeObserver(draw).observe(canvas); // at first, too: what is out of sight may have no size yet
}

function mixed(colour, share, other = [255, 255, 255]) {
  const parts = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  const found = parts.map((x, k) => Math.round(x + share * (other[k] - x)).toString(16).padStart(2, "0"));
  return `#${found.join("")}`;
}
