// Molecule: a geometry in three dimensions, drawn by plotly, which is on the page anyway.
const Molecule = (() => {
  const { element } = Text;
  const COLOURS = { H: "#d9dcdf", C: "#6b737b", N: "#2f6fd0", O: "#cf3a2f", F: "#5fb04a", P: "#e08a1e", S: "#d3b21f", Cl: "#3f9b3f", Br: "#8f3b2a", I: "#7a3fa0", B: "#e5a38f", Si: "#c8a06a" };
  const SIZES = { H: 9, C: 15, N: 15, O: 14, F: 14, P: 18, S: 18, Cl: 18, Si: 19 };

  function traces({ symbols, positions, bonds }) {
    const axis = (k) => positions.map((place) => place[k]);
    const line = (k) => bonds.flatMap(([a, b]) => [positions[a][k], positions[b][k], null]);
    return [
      { type: "scatter3d", mode: "lines", x: line(0), y: line(1), z: line(2), line: { color: "#8d949b", width: 6 }, hoverinfo: "skip" },
      {
        type: "scatter3d", mode: "markers", x: axis(0), y: axis(1), z: axis(2), text: symbols, hovertemplate: "%{text} (%{x:.2f}, %{y:.2f}, %{z:.2f}) Å<extra></extra>",
        marker: { size: symbols.map((s) => SIZES[s] || 17), color: symbols.map((s) => COLOURS[s] || "#b06fb0"), opacity: 1, line: { color: Figure.variable("--soft"), width: 1 } },
      },
    ];
  }

  // Arrow keys turn the camera by 15 degrees.
  function turn(plot, event) {
    const steps = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!steps || !plot._fullLayout || !plot._fullLayout.scene) return;
    event.preventDefault();
    const { x, y, z } = plot._fullLayout.scene._scene.getCamera().eye;
    const length = Math.hypot(x, y, z);
    const around = Math.atan2(y, x) + (steps[0] * Math.PI) / 12;
    const up = Math.max(-1.5, Math.min(1.5, Math.asin(z / length) + (steps[1] * Math.PI) / 12));
    const eye = { x: length * Math.cos(up) * Math.cos(around), y: length * Math.cos(up) * Math.sin(around), z: length * Math.sin(up) };
    Figure.library().relayout(plot, { "scene.camera.eye": eye });
  }

  function show(viewer, one, picture) {
    for (const plot of viewer.querySelectorAll(".plot")) Figure.library().purge(plot);
    const title = element("strong", {}, Text.name(one.id, 60));
    const drawing = picture ? element("img", { src: picture, alt: `Structural formula of ${Text.plain(one.molecule, 80)}`, width: 220, height: 160 }) : null;
    viewer.replaceChildren(title, element("span", { class: "range" }, Text.plain(`${one.formula}, ${one.n_atoms} atoms`)), ...(drawing ? [drawing] : []));
    if (!one.positions) {
      viewer.append(element("p", { class: "what" }, "The page has no room for this geometry; it is in structures.npz of the run."));
      return;
    }
    const plot = element("div", { class: "plot", tabindex: 0, role: "img", "aria-label": `Geometry of ${Text.plain(one.id, 80)}; drag it or use the arrow keys to turn it` });
    plot.redraw = () => {
      const hidden = { visible: false, showspikes: false };
      Figure.library().react(plot, traces(one), {
        height: 320, margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
        scene: { xaxis: hidden, yaxis: hidden, zaxis: hidden, aspectmode: "data", camera: { projection: { type: "orthographic" } } },
      }, { responsive: true, displaylogo: false, displayModeBar: false }).catch(() => {
        plot.replaceChildren(element("p", { class: "what" }, "This browser has no WebGL, which the geometry needs."));
      });
    };
    plot.addEventListener("keydown", (event) => turn(plot, event));
    viewer.append(plot);
    Figure.whenSeen(plot);
  }

  return { show };
})();
