"use strict";

// The viewer's dark colours follow the reader's system.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// No validatorUrl: the viewer would send the document's address to a service of its makers.
window.SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#viewer",
  deepLinking: true,
  validatorUrl: null,
});
