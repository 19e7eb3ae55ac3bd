// The choice of another language leads back to what is shown by then, which may be another folder than at first.

export function start() {
  const form = document.querySelector("form.language");
  form.addEventListener("submit", () => {
    form.elements.back.value = location.pathname + location.search;
  });
}
