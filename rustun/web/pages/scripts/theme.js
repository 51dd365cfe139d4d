// Before anything is painted: the theme that was chosen here before; without a choice, the system's.
{
  const chosen = localStorage.getItem("rustun-theme");
  if (chosen === "dark" || chosen === "light") {
    document.documentElement.dataset.theme = chosen;
  }
}
