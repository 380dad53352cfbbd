"use strict";
// The player of a saved page: WebGL 2, no library. Frames are quantised: see pipeline/page.py.
const $ = (id) => document.getElementById(id);
const CONTACT = [0.94, 0.48, 0.08], NOW = "#333";
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"];
const DASHES = [[], [7, 3], [2, 2], [8, 2, 2, 2]];
const STACKED = 0.09;  // of its height, how much higher a ghost's name is than the body's it is in
const LIGHT = [0.35, -0.25, 0.9];

// matrices are column-major Float32Array(16), as WebGL takes them
const multiply = (a, b) => {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++)
    out[4 * c + r] = a[r] * b[4 * c] + a[4 + r] * b[4 * c + 1] + a[8 + r] * b[4 * c + 2] + a[12 + r] * b[4 * c + 3];
  return out;
};
const rigid = (w, x, y, z, px, py, pz) => new Float32Array([
  1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y), 0,
  2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x), 0,
  2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y), 0, px, py, pz, 1]);
const sub = (a, b) => a.map((v, i) => v - b[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a) => { const n = Math.hypot(...a) || 1; return a.map((v) => v / n); };
const perspective = (fov, aspect, near, far) => {
  const f = 1 / Math.tan(fov / 2), d = 1 / (near - far);
  return new Float32Array([f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) * d, -1, 0, 0, 2 * far * near * d, 0]);
};
const lookAt = (eye, target) => {
  const z = unit(sub(eye, target)), x = unit(cross([0, 0, 1], z)), y = cross(z, x);
  return new Float32Array([x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0, -dot(x, eye), -dot(y, eye), -dot(z, eye), 1]);
};

const VERTEX = `#version 300 es
in vec3 place; in vec3 normal; uniform mat4 model, camera; out vec3 n, p;
void main() { vec4 w = model * vec4(place, 1.0); p = w.xyz; n = mat3(model) * normal; gl_Position = camera * w; }`;
const BODY = `#version 300 es
precision highp float; in vec3 n, p; uniform vec4 colour; uniform vec3 light, eye; uniform float flat_; out vec4 o;
void main() { vec3 m = normalize(n); float d = max(dot(m, light), 0.0), up = 0.5 + 0.5 * m.z;
  float s = 0.08 * pow(max(dot(reflect(-light, m), normalize(eye - p)), 0.0), 24.0);
  o = flat_ > 0.5 ? colour : vec4(colour.rgb * (0.42 + 0.22 * up + 0.45 * d) + s, colour.a); }`;
const GROUND = `#version 300 es
precision highp float; in vec3 n, p; uniform vec3 middle; uniform float cell, reach; out vec4 o;
void main() { vec2 q = p.xy / cell, w = fwidth(q) + 1e-5, a = abs(fract(0.5 * q) - 0.5) * 2.0;
  vec2 t = clamp((a - 0.5) / w + 0.5, 0.0, 1.0); t = mix(t, vec2(0.5), clamp(w * 1.5 - 0.5, 0.0, 1.0));
  float c = t.x * (1.0 - t.y) + t.y * (1.0 - t.x);
  vec3 tile = mix(vec3(0.905, 0.915, 0.93), vec3(0.80, 0.82, 0.85), c);
  float f = smoothstep(0.35, 1.0, distance(p.xy, middle.xy) / reach); o = vec4(mix(tile, vec3(1.0), f), 1.0); }`;

function program(gl, fragment) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text); gl.compileShader(shader); gl.attachShader(made, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  }
  gl.bindAttribLocation(made, 0, "place"); gl.bindAttribLocation(made, 1, "normal");
  gl.linkProgram(made);
  return { made, at: (name) => gl.getUniformLocation(made, name) };
}

/** Vertices and faces as a vertex array with smooth normals: a sharp edge is one whose vertices are not shared. */
function mesh(gl, vertices, faces) {
  const normals = new Float32Array(vertices.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => Array.from(vertices.subarray(3 * faces[f + k], 3 * faces[f + k] + 3)));
    const n = cross(sub(b, a), sub(c, a));
    for (let k = 0; k < 3; k++) for (let i = 0; i < 3; i++) normals[3 * faces[f + k] + i] += n[i];
  }
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  for (const [slot, values] of [[0, vertices], [1, normals]]) {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer()); gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(slot); gl.vertexAttribPointer(slot, 3, gl.FLOAT, false, 0, 0);
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  return { array, count: faces.length };
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Where a part is: its model matrix and its position, between two frames, cycles of a loop included. */
function pose(take, layer, seconds, aside) {
  const loop = take.loop, turns = loop ? Math.floor(seconds / take.duration) : 0;
  const at = Math.min((seconds - turns * take.duration) * take.fps, take.frames - 1);
  const i = Math.min(Math.floor(at + 1e-6), take.frames - 1), j = Math.min(i + 1, take.frames - 1), s = Math.max(at - i, 0);
  const yaw = layer.yaw * turns, cy = Math.cos(yaw), sy = Math.sin(yaw);
  let [ox, oy] = [0, 0];
  for (let k = 0; k < turns; k++) {
    const a = layer.yaw * k;
    ox += Math.cos(a) * layer.translation[0] - Math.sin(a) * layer.translation[1];
    oy += Math.sin(a) * layer.translation[0] + Math.cos(a) * layer.translation[1];
  }
  if (aside) { ox += layer.aside[0]; oy += layer.aside[1]; }
  const mix = (v, a, b) => (1 - s) * v[a] + s * v[b];
  const count = layer.names.length, out = [], base = [mix(layer.path, 2 * i, 2 * j), mix(layer.path, 2 * i + 1, 2 * j + 1)];
  const w = Math.cos(yaw / 2), z = Math.sin(yaw / 2);
  for (let part = 0; part < count; part++) {
    const a = 3 * (i * count + part), b = 3 * (j * count + part), c = 4 * (i * count + part), d = 4 * (j * count + part);
    const x = layer.unit * mix(layer.positions, a, b) + base[0], y = layer.unit * mix(layer.positions, a + 1, b + 1) + base[1];
    const h = layer.unit * mix(layer.positions, a + 2, b + 2), r = layer.rotations;
    const sign = r[c] * r[d] + r[c + 1] * r[d + 1] + r[c + 2] * r[d + 2] + r[c + 3] * r[d + 3] < 0 ? -1 : 1;
    const q = [0, 1, 2, 3].map((k) => (1 - s) * r[c + k] + sign * s * r[d + k]), n = Math.hypot(...q);
    const [qw, qx, qy, qz] = q.map((v) => v / n);
    out.push(rigid(w * qw - z * qz, w * qx - z * qy, w * qy + z * qx, w * qz + z * qw, cy * x - sy * y + ox, sy * x + cy * y + oy, h));
  }
  return { parts: out, follow: [cy * base[0] - sy * base[1] + ox, sy * base[0] + cy * base[1] + oy], frame: s > 0.5 ? j : i };
}

function chart(panel, take) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption"), canvas = document.createElement("canvas");
  const key = document.createElement("div");
  caption.textContent = panel.title + (panel.unit ? ` (${panel.unit})` : ""); key.className = "key";
  panel.curves.forEach((curve, k) => {
    const mark = document.createElement("i"), entry = document.createElement("span");
    mark.style.borderColor = COLOURS[k % COLOURS.length]; mark.style.borderTopStyle = ["solid", "dashed", "dotted", "dashed"][k % 4];
    entry.append(mark, curve.name);
    key.append(entry, " ");
  });
  figure.append(caption, canvas, key);
  const values = panel.curves.flatMap((c) => Array.from(c.values)).filter(Number.isFinite);
  if (panel.limit !== null) values.push(panel.limit);
  let low = Math.min(...values), high = Math.max(...values);
  const more = 0.08 * Math.max(high - low, 1e-3); low -= more; high += more;
  const left = 46, bottom = 18;
  const draw = (now) => {
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * scale; canvas.height = height * scale;
    const c = canvas.getContext("2d");
    c.scale(scale, scale); c.font = "11px system-ui, sans-serif"; c.fillStyle = "#57606a"; c.strokeStyle = "#e3e6ea";
    const x = (t) => left + (t / take.duration) * (width - left - 6), y = (v) => 4 + ((high - v) / (high - low)) * (height - bottom - 8);
    const ticks = (a, b, n) => {
      const rough = (b - a) / n, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
      const out = [];
      for (let v = Math.ceil(a / step) * step; v <= b + 1e-9; v += step) out.push(+v.toFixed(6));
      return out;
    };
    const line = (x0, y0, x1, y1) => { c.beginPath(); c.moveTo(x0, y0); c.lineTo(x1, y1); c.stroke(); };
    c.textAlign = "right"; c.textBaseline = "middle";
    for (const v of ticks(low, high, 3)) { line(left, y(v), width, y(v)); c.fillText(String(v), left - 5, y(v)); }
    c.textAlign = "center"; c.textBaseline = "bottom";
    for (const t of ticks(0, take.duration, 5)) { line(x(t), 4, x(t), height - bottom); c.fillText(`${t} s`, Math.min(x(t), width - 18), height); }
    if (panel.limit !== null) { c.strokeStyle = "#8c959f"; c.setLineDash([3, 3]); line(left, y(panel.limit), width, y(panel.limit)); }
    panel.curves.forEach((curve, k) => {
      c.strokeStyle = COLOURS[k % COLOURS.length]; c.lineWidth = 1.5; c.setLineDash(DASHES[k % 4]); c.beginPath();
      let down = false;
      curve.values.forEach((v, i) => {
        if (!Number.isFinite(v)) { down = false; return; }
        const at = [x(panel.step * i), y(v)];
        if (down) c.lineTo(...at); else c.moveTo(...at);
        down = true;
      });
      c.stroke();
    });
    c.setLineDash([]); c.strokeStyle = NOW; line(x(now), 2, x(now), height - bottom);
  };
  const seconds = (event) => Math.min(Math.max((event.offsetX - left) / (canvas.clientWidth - left - 6), 0), 1) * take.duration;
  return { figure, canvas, draw, seconds };
}

async function main() {
  const head = JSON.parse($("head").textContent), buffer = await unpack($("data").textContent.trim());
  const KINDS = { f4: Float32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };
  const array = ([kind, offset, length]) => new KINDS[kind](buffer, offset, length);
  const canvas = $("scene"), gl = canvas.getContext("webgl2", { alpha: false, antialias: true, stencil: true });
  if (!gl) { $("facts").textContent = "This page needs WebGL 2, which this browser does not offer."; return; }
  const body = program(gl, BODY), floor = program(gl, GROUND), light = unit(LIGHT);
  const quad = mesh(gl, new Float32Array([-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0]), new Uint16Array([0, 1, 2, 0, 2, 3]));
  for (const take of head.takes) {
    for (const layer of take.layers)
      for (const key of ["path", "positions", "rotations", "lit", "colours"]) layer[key] = array(layer[key]);
    for (const panel of take.panels) for (const curve of panel.curves) curve.values = array(curve.values);
  }
  const state = { take: null, seconds: 0, playing: true, speed: 1, shown: {}, aside: false, follow: true, names: true,
    yaw: 0, pitch: 0.2, distance: 4, pan: [0, 0, 0], charts: [] };
  window.mimic = state;

  const checkbox = (text, value, act) => {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: value }), label = document.createElement("label");
    box.onchange = () => act(box.checked); label.append(box, " " + text); $("layers").append(label);
  };
  function open(index) {
    const take = (state.take = head.takes[index]);
    Object.assign(state, { seconds: 0, shown: {}, aside: false, pan: [0, 0, 0], pitch: 0.2, yaw: take.heading - 1.05 });
    $("title").textContent = take.name; $("facts").innerHTML = "";
    for (const fact of take.facts) $("facts").append(fact, document.createElement("br"));
    $("time").max = take.duration; $("layers").innerHTML = ""; $("curves").innerHTML = "";
    document.querySelectorAll(".name").forEach((node) => node.remove());
    for (const layer of take.layers) {
      layer.meshes ||= layer.parts.map(([v, f]) => (f[2] ? mesh(gl, array(v), array(f)) : null));
      state.shown[layer.name] = true;
      checkbox(layer.label, true, (on) => (state.shown[layer.name] = on));
      layer.tag = Object.assign(document.createElement("div"), { className: "name", textContent: layer.label });
      $("view").append(layer.tag);
    }
    if (take.layers.some((l) => l.name === "reference")) checkbox("reference apart", false, (on) => (state.aside = on));
    checkbox("names", state.names, (on) => (state.names = on));
    checkbox("camera follows", state.follow, (on) => (state.follow = on));
    const tall = Math.max(...take.layers.map((l) => l.height)), wide = Math.max(...take.layers.map((l) => l.name === "reference" ? 0 : Math.hypot(...l.aside)));
    state.distance = 2.5 * tall + 0.8 * wide; state.tall = tall;
    state.charts = take.panels.map((panel) => chart(panel, take));
    for (const each of state.charts) {
      const scrub = (event) => { if (event.buttons & 1) seek(each.seconds(event)); };
      each.canvas.onpointerdown = each.canvas.onpointermove = scrub;
      $("curves").append(each.figure);
    }
    play(true);
  }
  function play(on) { state.playing = on; $("play").textContent = on ? "Pause" : "Play"; }
  function seek(seconds) { state.seconds = Math.min(Math.max(seconds, 0), state.take.duration); play(false); }

  $("picker").append(...head.takes.map((t, i) => new Option(t.name, i)));
  $("picker").hidden = head.takes.length < 2;
  $("picker").onchange = (event) => open(+event.target.value);
  $("play").onclick = () => play(!state.playing);
  $("time").oninput = (event) => seek(+event.target.value);
  $("speed").onchange = (event) => (state.speed = +event.target.value);
  addEventListener("keydown", (event) => {
    if (/^(SELECT|INPUT|BUTTON)$/.test(event.target.tagName)) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " ") { play(!state.playing); event.preventDefault(); }
    if (step) seek((state.seconds % state.take.duration) + step / state.take.fps);
  });
  canvas.onpointerdown = (event) => canvas.setPointerCapture(event.pointerId);
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.onpointermove = (event) => {
    if (!event.buttons) return;
    if (event.buttons & 2 || event.shiftKey) {
      const k = state.distance / canvas.clientHeight, side = [-Math.sin(state.yaw), Math.cos(state.yaw)];
      state.pan = [state.pan[0] - k * event.movementX * side[0], state.pan[1] - k * event.movementX * side[1], state.pan[2] + k * event.movementY];
    } else {
      state.yaw -= 0.008 * event.movementX;
      state.pitch = Math.min(Math.max(state.pitch + 0.008 * event.movementY, -0.1), 1.55);
    }
  };
  canvas.addEventListener("wheel", (event) => {
    state.distance = Math.min(Math.max(state.distance * Math.exp(0.001 * event.deltaY), 0.3), 60); event.preventDefault();
  }, { passive: false });

  function parts(uniforms, layer, placed, colour) {
    layer.meshes.forEach((each, part) => {
      if (!each) return;
      gl.uniformMatrix4fv(uniforms.model, false, placed.parts[part]);
      if (colour) gl.uniform4fv(uniforms.colour, colour(part));
      gl.bindVertexArray(each.array);
      gl.drawElements(gl.TRIANGLES, each.count, gl.UNSIGNED_SHORT, 0);
    });
  }
  const at = Object.fromEntries(["model", "camera", "colour", "light", "eye", "flat_"].map((name) => [name, body.at(name)]));

  function draw() {
    const take = state.take, scale = Math.min(window.devicePixelRatio || 1, 2), width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
    }
    const visible = take.layers.filter((layer) => state.shown[layer.name]);
    const placed = new Map(take.layers.map((layer) => [layer, pose(take, layer, state.seconds, state.aside || layer.name !== "reference")]));
    const main = take.layers[take.layers.length - 1], start = [main.path[0], main.path[1]];
    const follow = state.follow ? placed.get(main).follow : start;
    const middle = [0, 1].map((k) => take.layers.reduce((sum, l) => sum + (l.name === "reference" ? 0 : l.aside[k] + l.path[k] - start[k]), 0) / take.layers.length);
    const target = [follow[0] + 0.6 * middle[0] + state.pan[0], follow[1] + 0.6 * middle[1] + state.pan[1], 0.5 * state.tall + state.pan[2]];
    const cp = Math.cos(state.pitch);
    const eye = [0, 1, 2].map((k) => target[k] + state.distance * [cp * Math.cos(state.yaw), cp * Math.sin(state.yaw), Math.sin(state.pitch)][k]);
    const camera = multiply(perspective(0.7, width / Math.max(height, 1), 0.05, 200), lookAt(eye, target));
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(1, 1, 1, 1); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT | gl.STENCIL_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST); gl.depthFunc(gl.LEQUAL); gl.disable(gl.BLEND); gl.disable(gl.STENCIL_TEST);

    const reach = 7 * state.tall + 2 * state.distance;
    gl.useProgram(floor.made);
    gl.uniformMatrix4fv(floor.at("camera"), false, camera);
    gl.uniformMatrix4fv(floor.at("model"), false, new Float32Array([reach, 0, 0, 0, 0, reach, 0, 0, 0, 0, 1, 0, target[0], target[1], 0, 1]));
    gl.uniform3f(floor.at("middle"), target[0], target[1], 0); gl.uniform1f(floor.at("cell"), 0.5); gl.uniform1f(floor.at("reach"), reach);
    gl.bindVertexArray(quad.array); gl.drawElements(gl.TRIANGLES, 6, gl.UNSIGNED_SHORT, 0);

    gl.useProgram(body.made);
    gl.uniform3fv(at.light, light); gl.uniform3fv(at.eye, eye);
    // shadows: the bodies flattened onto the ground along the light, each pixel darkened once
    const flat = new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, -light[0] / light[2], -light[1] / light[2], 0, 0, 0, 0, 0.002, 1]);
    gl.enable(gl.BLEND); gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.STENCIL_TEST); gl.stencilFunc(gl.EQUAL, 0, 255); gl.stencilOp(gl.KEEP, gl.KEEP, gl.INCR); gl.depthMask(false);
    gl.uniformMatrix4fv(at.camera, false, multiply(camera, flat)); gl.uniform1f(at.flat_, 1);
    for (const layer of visible) if (layer.opacity === 1) parts(at, layer, placed.get(layer), () => [0.1, 0.12, 0.16, 0.28]);
    gl.disable(gl.STENCIL_TEST); gl.disable(gl.BLEND); gl.depthMask(true);
    gl.uniformMatrix4fv(at.camera, false, camera); gl.uniform1f(at.flat_, 0);
    const colour = (layer) => (part) => {
      const count = layer.names.length, lit = layer.lit[placed.get(layer).frame * count + part], c = layer.colours;
      return [...(lit ? CONTACT : [0, 1, 2].map((k) => c[3 * part + k] / 255)), layer.opacity];
    };
    for (const layer of visible) if (layer.opacity === 1) parts(at, layer, placed.get(layer), colour(layer));
    for (const layer of visible) if (layer.opacity < 1) {  // its nearest surface only
      gl.colorMask(false, false, false, false); parts(at, layer, placed.get(layer), null);
      gl.colorMask(true, true, true, true); gl.enable(gl.BLEND); parts(at, layer, placed.get(layer), colour(layer)); gl.disable(gl.BLEND);
    }
    for (const layer of take.layers) {
      const [x, y] = placed.get(layer).parts[0].subarray(12, 14), above = layer.name === "reference" && !state.aside ? STACKED : 0;
      const z = (1.08 + above) * layer.height;
      const clip = [0, 1, 3].map((r) => camera[r] * x + camera[4 + r] * y + camera[8 + r] * z + camera[12 + r]);
      const on = state.names && state.shown[layer.name] && clip[2] > 0;
      layer.tag.style.display = on ? "" : "none";
      layer.tag.style.left = `${(0.5 + (0.5 * clip[0]) / clip[2]) * width}px`; layer.tag.style.top = `${(0.5 - (0.5 * clip[1]) / clip[2]) * height}px`;
    }
    const now = take.loop ? state.seconds % take.duration : Math.min(state.seconds, take.duration), frame = placed.get(main).frame;
    if (document.activeElement !== $("time") || state.playing) $("time").value = now;
    const whole = take.duration <= take.period;
    $("readout").textContent = `t = ${now.toFixed(2)} s` + ` · phase ${(whole ? now / take.period : (now / take.period) % 1).toFixed(2)}`;
    const touching = main.names.filter((_, part) => main.lit[frame * main.names.length + part]);
    $("contact").textContent = `on the ground: ${touching.join(", ") || "nothing"}`;
    return now;
  }
  let before = performance.now(), charted = null;
  state.drawn = 0;
  function tick(clock) {
    const dt = Math.min((clock - before) / 1000, 0.25), take = state.take;
    before = clock;
    if (state.playing) {
      state.seconds += state.speed * dt;
      if (!take.loop && state.seconds > take.duration + 1) state.seconds = 0;
    }
    const now = draw();
    if (charted === null || Math.abs(now - charted) > 1e-4) { state.charts.forEach((each) => each.draw(now)); charted = now; }
    state.drawn++;
    requestAnimationFrame(tick);
  }
  open(0);
  requestAnimationFrame(tick);
}
main().catch((error) => { $("facts").textContent = `This page cannot be shown: ${error.message}`; console.error(error); });
