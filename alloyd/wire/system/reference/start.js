// Starts Swagger UI over /openapi.json, in the colours that the browser asks for.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const followColours = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followColours);
followColours();

// Each field of the "Authorize" dialog takes the focus as it appears, so that the last one ends up with it.
document.addEventListener("click", (event) => {
  if (event.target.closest(".btn.authorize, .authorization__btn")) {
    requestAnimationFrame(() => document.querySelector(".modal-ux-content input")?.focus());
  }
});

SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("reference"),
  // Nothing of the address may choose another description or setting, and nobody else is asked whether ours is valid.
  queryConfigEnabled: false,
  validatorUrl: null,
  // A key that was pasted lives as long as this page.
  persistAuthorization: false,
  deepLinking: true,
  filter: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  showExtensions: true,
  displayRequestDuration: true,
});
