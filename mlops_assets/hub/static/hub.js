// What the frame of every page does in the browser alone: theme, the key '/', copy buttons, and the order of
// what is entered before the page is connected.
"use strict";

// Each event of NiceGUI that comes before the handshake waits by a timer of its own, so that a click may overtake
// what was typed before it. They are sent at once instead, and kept here in their order until the handshake.
(() => {
  const kept = [];
  let socket;
  let connected = false;
  Object.defineProperty(window, "socket", {
    get: () => socket,
    set: (made) => {
      const emit = made.emit;
      made.emit = (...args) => {
        if (connected || args[0] === "handshake") return emit.apply(made, args);
        kept.push(args);
        return made;
      };
      socket = made;
    },
  });
  Object.defineProperty(window, "did_handshake", {
    get: () => socket !== undefined,
    set: (done) => {
      connected = done;
      if (connected) kept.splice(0).forEach((args) => socket.emit(...args));
    },
  });
})();

(() => {
  const YEAR = 365 * 24 * 3600;

  function toggleTheme() {
    const dark = !document.body.classList.contains("body--dark");
    // the server reads it, so that a page is dark from its first frame
    document.cookie = `mlops_theme=${dark ? "dark" : "light"}; path=/; max-age=${YEAR}; samesite=lax`;
    window.Quasar.Dark.set(dark);
    const scheme = document.getElementById("nicegui-color-scheme");
    if (scheme) scheme.setAttribute("content", dark ? "dark" : "light");
  }

  async function copy(button) {
    const content = button.getAttribute("data-copy");
    let done = true;
    try {
      await navigator.clipboard.writeText(content);
    } catch {
      // plain HTTP on another address than loopback has no clipboard
      const area = document.createElement("textarea");
      area.value = content;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const label = button.querySelector("span");
    label.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (label.textContent = "Copy"), 2000);
  }

  function closeMenus(except) {
    for (const menu of document.querySelectorAll("details.hub-menu[open]")) {
      if (menu !== except) menu.open = false;
    }
  }

  document.addEventListener("click", (event) => {
    closeMenus(event.target.closest("details.hub-menu"));
    const button = event.target.closest("button");
    if (!button) return;
    if (button.hasAttribute("data-copy")) copy(button);
    if (button.hasAttribute("data-theme-toggle")) toggleTheme();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const open = event.target.closest?.("details.hub-menu[open]");
      closeMenus(null);
      if (open) open.querySelector("summary").focus();
    }
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    const boxes = [...document.querySelectorAll("input[type=search][name=q]")];
    const box = boxes.find((each) => each.offsetParent !== null);
    if (!box) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
})();
