// The charts of the report. Everything that is shown was decided when the page was written: `#charts` holds, for each
// chart, its views (one for each choice of recordings, network, …) with ends, ticks and words; here they are drawn.
// Without this script, and on paper, the drawings beside them are shown instead.
"use strict";
(() => {
  const page = document, root = page.documentElement;
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const unique = (values) => [...new Set(values)];
  const make = (name, attributes = {}, ...children) => {
    const part = page.createElement(name);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    part.append(...children);
    return part;
  };
  const SHAPES = {
    square: "rect", pin: "path://M0 0H10L5 9Z", none: "none",
    cross: "path://M0 2L2 0L5 3L8 0L10 2L7 5L10 8L8 10L5 7L2 10L0 8L3 5Z",
    plus: "path://M4 0H6V4H10V6H6V10H4V6H0V4H4Z",
  };
  const ALL = "all";
  const shared = {};  // what a reader has chosen, for all charts that have it
  let styles;

  copyButtons();
  // A link to something that is folded unfolds it.
  page.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const part = link && page.getElementById(link.hash.slice(1));
    for (let box = part?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  });
  try {
    const source = JSON.parse(page.getElementById("charts").textContent);
    styles = source.styles;
    if (!window.echarts) return;
    root.classList.add("charts");
    const charts = source.charts.filter((spec) => spec.views.length).map(chart);
    const redraw = () => charts.forEach((draw) => draw());
    redraw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    page.addEventListener("chosen", redraw);
  } catch (problem) {
    root.classList.remove("charts");  // the drawings are as good
    throw problem;
  }

  // One chart: its controls, its legend, and the function that draws what is chosen.
  function chart(spec) {
    const live = page.querySelector(`[data-chart="${spec.name}"] .live`);
    const controls = make("div", { class: "controls" });
    const title = make("p", { class: "panel-title" });
    const legend = make("div", { class: "legend", role: "group", "aria-label": "Show or hide" });
    const canvas = make("div", { class: "canvas", tabindex: "0", role: "img", "aria-roledescription": "chart" });
    const said = make("p", { class: "said", "aria-live": "polite" });
    live.append(controls, title, legend, canvas, said);
    live.hidden = false;
    const drawn = echarts.init(canvas, null, { renderer: "svg" });
    const own = { ...spec.start }, hidden = new Set();
    let view, rows, step = -1;

    function choose() {
      let left = spec.views;
      controls.replaceChildren();
      for (const [key, name] of spec.facets) {
        const options = unique(left.map((item) => item.where[key]));
        const wanted = key === "show" ? own.show : shared[key] ?? own[key];
        const picked = options.includes(wanted) ? wanted : options[0];
        left = left.filter((item) => item.where[key] === picked);
        if (options.length > 1) controls.append(select(key, name, options, picked));
      }
      view = left[0];
      rows = view.rows;
      for (const [key, name] of spec.filters) {
        const place = key === "group" ? 0 : 1;
        const options = [ALL, ...unique(view.rows.map((row) => row[place]))];
        const picked = options.includes(own[key]) ? own[key] : ALL;
        if (picked !== ALL) rows = rows.filter((row) => row[place] === picked);
        if (options.length > 2) controls.append(select(key, name, options, picked));
      }
    }

    function select(key, name, options, picked) {
      const box = make("select", { "data-key": key });
      for (const value of options) box.append(make("option", { value }, value));
      box.value = picked;
      box.addEventListener("change", () => {
        const local = key === "show" || spec.filters.some(([filter]) => filter === key);
        (local ? own : shared)[key] = box.value;
        page.dispatchEvent(new Event("chosen"));
        controls.querySelector(`[data-key="${key}"]`)?.focus();
      });
      return make("label", {}, name, box);
    }

    function legends() {
      const names = spec.kind === "bars"
        ? unique(rows.map((row) => row[1])).map((name) => [name, rows.find((row) => row[1] === name)[5]])
        : view.series.map((line) => [line.name, line.style]);
      legend.replaceChildren(...names.map(([name, style]) => {
        const button = make("button", { type: "button", "aria-pressed": String(!hidden.has(name)) });
        button.innerHTML = styles[style].swatch;
        button.append(name);
        button.addEventListener("click", () => {
          if (!hidden.delete(name)) hidden.add(name);
          draw();
          [...legend.children].find((item) => item.textContent === name)?.focus();
        });
        return button;
      }));
      legend.hidden = names.length < 2;
    }

    function draw() {
      choose();
      legends();
      title.textContent = view.title;
      canvas.setAttribute("aria-label", view.text);
      said.textContent = "";
      step = -1;
      const shownRows = rows.filter((row) => !(spec.kind === "bars" && hidden.has(row[1])));
      const lines = view.series.filter((line) => !hidden.has(line.name));
      const width = live.clientWidth;
      const lists = shownRows.length ? listed(shownRows, spec.kind) : null;
      canvas.style.height = `${lists ? 64 + 22 * lists.length : Math.min(420, 220 + 0.2 * width)}px`;
      drawn.resize();
      drawn.setOption(lists ? rowOption(view, lists, spec.kind, width) : lineOption(view, lines), true);
      steps = lists ? rowSteps(lists) : lineSteps(lines, view);
    }

    let steps = [];
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!move || !steps.length) return;
      event.preventDefault();
      step = (step + move + steps.length) % steps.length;
      drawn.dispatchAction({ type: "showTip", ...steps[step].at });
      said.textContent = steps[step].text;
    });
    canvas.addEventListener("blur", () => drawn.dispatchAction({ type: "hideTip" }));
    let before = 0;
    new ResizeObserver(() => {
      if (live.clientWidth && live.clientWidth !== before) { before = live.clientWidth; draw(); }
    }).observe(live);
    return draw;
  }

  // Lines with bands.

  function lineOption(view, lines) {
    const place = (axis, value) => (axis.log ? Math.log10(value) : value);
    const series = [];
    lines.forEach((line, index) => {
      const look = styles[line.style], colour = css(`--series-${line.style}`);
      const known = line.points.filter((point) => point[2] !== null && point[3] !== null);
      if (known.length) series.push(band(line, known, colour, (value) => place(view.x, value)));
      series.push({
        type: "line", name: line.name, id: `line-${index}`, z: 3, color: colour, triggerLineEvent: false,
        data: line.points.map((point) => ({ value: [place(view.x, point[0]), point[1]], text: point[4], x: point[0] })),
        symbol: SHAPES[look.symbol] ?? look.symbol, symbolSize: look.symbol === "none" ? 0 : 9, showAllSymbol: true,
        lineStyle: { width: 2, type: look.dash.length ? look.dash : "solid" }, emphasis: { disabled: true },
        ...marks(line, colour, (value) => place(view.x, value)),
      });
    });
    return {
      ...base(view), series,
      grid: { left: 52, right: 16, top: 30, bottom: 46 },
      xAxis: { ...axis(view.x, place), nameLocation: "middle", nameGap: 28 },
      yAxis: { ...axis(view.y, place), nameTextStyle: { align: "left", padding: [0, 0, 0, -44], color: css("--soft") } },
      tooltip: {
        ...tip(), trigger: "axis", axisPointer: { type: "line", snap: true, label: { show: false }, lineStyle: { color: css("--soft") } },
        formatter: (found) => {
          const points = found.filter((item) => item.seriesType === "line" && item.data.text);
          if (!points.length) return "";
          return card(`${labelOf(view.x, points[0].data.x)} ${view.x.title}`, points.map((item) =>
            [item.seriesName, item.data.text, item.color]));
        },
      },
    };
  }

  function band(line, known, colour, across) {
    return {
      type: "custom", name: line.name, silent: true, z: 1, clip: true, tooltip: { show: false },
      data: [[across(known[0][0]), known[0][2]]],
      renderItem: (_, api) => {
        const upper = known.map((point) => api.coord([across(point[0]), point[3]]));
        const lower = known.map((point) => api.coord([across(point[0]), point[2]])).reverse();
        // A single point has a whisker instead.
        return known.length > 1
          ? { type: "polygon", shape: { points: [...upper, ...lower] }, style: { fill: colour, opacity: 0.15 } }
          : { type: "line", shape: { x1: upper[0][0], y1: upper[0][1], x2: lower[0][0], y2: lower[0][1] },
              style: { stroke: colour, lineWidth: 1.5 } };
      },
    };
  }

  function marks(line, colour, across) {
    if (!line.marks.length) return {};
    const label = { show: false };
    return {
      markLine: {
        silent: true, symbol: "none", label, lineStyle: { color: colour, type: [2, 3], width: 1.5 },
        data: line.marks.filter((mark) => mark[0] !== null).map((mark) => ({ xAxis: across(mark[0]) })),
      },
      markArea: {
        silent: true, label, itemStyle: { color: colour, opacity: 0.08 },
        data: line.marks.filter((mark) => mark[1] !== null && mark[2] !== null)
          .map((mark) => [{ xAxis: across(mark[1]) }, { xAxis: across(mark[2]) }]),
      },
    };
  }

  function lineSteps(lines, view) {
    const steps = [];
    let seriesIndex = -1;
    for (const line of lines) {
      seriesIndex += line.points.some((point) => point[2] !== null && point[3] !== null) ? 2 : 1;
      line.points.forEach((point, dataIndex) => {
        if (point[4]) steps.push({
          at: { seriesIndex, dataIndex }, text: `${line.name}, ${labelOf(view.x, point[0])} ${view.x.title}: ${point[4]}`,
        });
      });
    }
    return steps;
  }

  // Rows: intervals, or bars.

  // Rows with a heading before each group; a heading is a row without values.
  function listed(rows, kind) {
    const found = [];
    let group = null;
    for (const row of rows) {
      if (row[0] !== group) { group = row[0]; found.push({ heading: group }); }
      found.push({ row, kind });
    }
    return found;
  }

  function rowOption(view, list, kind, width) {
    const letters = Math.max(...list.map((item) => item.row?.[1].length ?? 0));
    const left = Math.min(Math.max(90, letters * 6.6 + 26), Math.round(0.38 * width));
    const look = (row) => ({ colour: css(`--series-${row[5]}`), shape: styles[row[5]].symbol });
    const at = list.map((item, index) => [item, index]).filter(([item]) => item.row);
    const bars = kind === "bars";
    const values = {
      type: bars ? "bar" : "scatter", z: 3, symbolSize: 10, barWidth: 13, emphasis: { disabled: true },
      data: at.map(([{ row }, index]) => {
        const { colour, shape } = look(row);
        return {
          value: [row[2], index], text: row[7], symbol: SHAPES[shape] ?? shape,
          itemStyle: { color: row[6] ? colour : css("--paper"), opacity: 1, borderColor: colour, borderWidth: bars ? 0 : 1.8 },
          label: { show: bars, position: "right", color: css("--ink"), formatter: () => row[7].split(": ").pop() },
        };
      }),
      markLine: bars ? undefined : {
        silent: true, symbol: "none", label: { show: false }, data: [{ xAxis: 0 }],
        lineStyle: { color: css("--ink"), type: "solid", width: 1 },
      },
    };
    const whiskers = {
      type: "custom", z: 2, silent: true, tooltip: { show: false }, clip: true,
      data: at.filter(([{ row }]) => row[3] !== null).map(([{ row }, index]) => [row[3], index, row[4], row[5]]),
      renderItem: (_, api) => {
        const low = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(2), api.value(1)]);
        return { type: "line", shape: { x1: low[0], y1: low[1], x2: high[0], y2: high[1] },
          style: { stroke: css(`--series-${api.value(3)}`), lineWidth: 2 } };
      },
    };
    return {
      ...base(view), series: bars ? [values] : [whiskers, values],
      grid: { left, right: bars ? 76 : 16, top: 6, bottom: 46 },
      xAxis: { ...axis(view.x, (_, value) => value), nameLocation: "middle", nameGap: 28 },
      yAxis: {
        type: "category", inverse: true, data: list.map((item) => item.heading ?? item.row[1]),
        axisLine: { show: false }, axisTick: { show: false },
        axisLabel: {
          // A heading may run on above the rows; a row's own name ends where the drawing begins.
          interval: 0, color: css("--ink"), align: "left", margin: left - 4,
          formatter: (value, index) => (list[index]?.heading !== undefined
            ? `{head|${shortened(value, width / 7)}}` : `{row|${shortened(value, (left - 18) / 6.4)}}`),
          rich: { head: { fontWeight: 700, color: css("--ink") }, row: { padding: [0, 0, 0, 8], color: css("--ink") } },
        },
      },
      tooltip: {
        ...tip(), trigger: "axis", axisPointer: { type: "shadow", axis: "y", label: { show: false } },
        formatter: (found) => {
          const item = found.find((part) => part.data?.text);
          if (!item) return "";
          return card(list[item.data.value[1]].row[0], [["", item.data.text, ""]]);
        },
      },
    };
  }

  function rowSteps(list) {
    const rows = list.filter((item) => item.row);
    const seriesIndex = rows[0]?.kind === "bars" ? 0 : 1;
    return rows.map(({ row }, dataIndex) => ({ at: { seriesIndex, dataIndex }, text: `${row[0]}, ${row[7]}` }));
  }

  // What all have in common.

  function base(view) {
    return {
      animation: false, backgroundColor: "transparent", textStyle: { fontFamily: "system-ui, sans-serif", color: css("--ink") },
      aria: { enabled: true, label: { description: view.text } },
    };
  }

  function axis(spec, place) {
    const values = spec.ticks.map(([value]) => place(spec, value));
    const label = new Map(values.map((value, index) => [value.toFixed(9), spec.ticks[index][1]]));
    return {
      type: "value", min: place(spec, spec.low), max: place(spec, spec.high), name: spec.title,
      nameTextStyle: { color: css("--soft") },
      axisLine: { show: true, lineStyle: { color: css("--soft") } },
      axisTick: { show: true, customValues: values },
      axisLabel: {
        customValues: values, hideOverlap: true, color: css("--ink"),
        formatter: (value) => label.get(value.toFixed(9)) ?? "",
      },
      splitLine: { show: true, lineStyle: { color: css("--line"), opacity: 0.7 } },
    };
  }

  function labelOf(axis, value) {
    const known = axis.ticks.find(([tick]) => tick === value);
    return known ? known[1] : Number(value.toPrecision(3)).toLocaleString("en");
  }

  function shortened(text, letters) {
    return text.length <= letters ? text : `${text.slice(0, Math.max(1, Math.floor(letters) - 1))}…`;
  }

  function tip() {
    return {
      show: true, confine: true, appendTo: undefined, backgroundColor: css("--paper"), borderColor: css("--line"),
      textStyle: { color: css("--ink"), fontSize: 13 }, extraCssText: "max-width: 22rem; white-space: normal;",
    };
  }

  // As elements, not as text: names are the user's own.
  function card(head, lines) {
    const box = make("div", { class: "tip" }, make("b", {}, head));
    for (const [name, text, colour] of lines) {
      const line = make("div");
      if (colour) {
        const dot = make("span", { class: "dot" });
        dot.style.background = colour;
        line.append(dot);
      }
      line.append(name ? `${name}: ${text}` : text);
      box.append(line);
    }
    return box;
  }

  function copyButtons() {
    for (const button of page.querySelectorAll("button.copy")) {
      button.hidden = false;
      const name = button.textContent;
      button.addEventListener("click", async () => {
        const part = page.getElementById(button.dataset.copy);
        try {
          await navigator.clipboard.writeText(part.innerText);
        } catch {
          const range = page.createRange();
          range.selectNodeContents(part);
          getSelection().removeAllRanges();
          getSelection().addRange(range);
          page.execCommand("copy");
        }
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = name; }, 1500);
      });
    }
  }
})();
