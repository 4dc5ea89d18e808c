// The link of the strip opens its tab; its address alone would only scroll.
document.addEventListener("click", (event) => {
  const link = event.target.closest("#strip [data-go]");
  if (!link) return;
  event.preventDefault();
  const tabs = [...document.querySelectorAll(`#tabs button[data-tab-id="${link.dataset.go}"]`)];
  const tab = tabs.find((button) => button.offsetParent !== null) ?? tabs[0];
  tab?.click();
  tab?.focus();
});
