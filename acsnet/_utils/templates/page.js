"use strict";
// Filters, and looking from one image to the other. Without this script everything is shown.
(() => {
  const form = document.getElementById("filters");
  const items = [...document.querySelectorAll(".filtered .case, .filtered.flag .image")].map((element) => ({
    element,
    relations: (element.dataset.relations || "").split(" "),
    conflicts: (element.dataset.conflicts || "").split(" ").filter(Boolean),
    labels: new Set([...element.querySelectorAll(".label")].map((label) => label.textContent.trim())),
    names: [...element.querySelectorAll(".name")].map((name) => name.textContent.toLowerCase()),
    isCase: element.matches(".case"),
  }));

  const fits = (item, wanted) => {
    const conflict = {"": true, any: item.conflicts.length > 0, none: item.conflicts.length === 0};
    // What is asked of pairs is not asked of single images.
    const pairs =
      !item.isCase ||
      ((!wanted.relation || item.relations.includes(wanted.relation)) &&
        (conflict[wanted.conflict] ?? item.conflicts.includes(wanted.conflict)));
    return (
      pairs &&
      (!wanted.label || item.labels.has(wanted.label)) &&
      item.names.some((name) => name.includes(wanted.name.trim().toLowerCase()))
    );
  };

  const filter = () => {
    const wanted = Object.fromEntries(new FormData(form));
    let shown = 0;
    for (const item of items) {
      item.element.hidden = !fits(item, wanted);
      shown += item.isCase && !item.element.hidden;
    }
    for (const section of document.querySelectorAll(".filtered")) {
      const inside = [...section.querySelectorAll(".case, .image")].filter((element) => !element.closest(".case .image"));
      const unmatched = section.querySelector(".unmatched");
      unmatched.hidden = !inside.length || inside.some((element) => !element.hidden);
    }
    const all = items.filter((item) => item.isCase).length;
    form.elements.shown.value = `${shown} of ${all} groups shown`;
  };

  if (form && items.length) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  for (const button of document.querySelectorAll(".blink")) {
    const picture = button.closest("figure").querySelector("img");
    const first = document.getElementById(button.dataset.first).querySelector("img");
    const second = picture.src;
    const show = (address) => () => (picture.src = address);
    button.hidden = false;
    for (const event of ["pointerdown", "keydown"]) button.addEventListener(event, show(first.src));
    for (const event of ["pointerup", "pointerleave", "keyup", "blur"]) button.addEventListener(event, show(second));
  }

  // A printer waits for no scrolling.
  addEventListener("beforeprint", () => {
    for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";
  });
})();
