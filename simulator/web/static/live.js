// Keeps parts of a page current without a reload; pages work without it.
//
// <div data-live="ADDRESS">...</div> is replaced, once a second while the page is seen, by what
// ADDRESS answers. Nothing is touched while somebody selects text, types or presses a
// button in it; what has the focus keeps it.
(function () {
  "use strict";
  const EVERY_MS = 1000;
  const NOT_REACHED = "The simulator does not answer; this is how things stood before.";

  function isInUse(part) {
    const selection = document.getSelection();
    const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    const focused = document.activeElement;
    // A button that is gone when the finger leaves it is never pressed.
    const pressed = part.matches(":active");
    return selecting || pressed || (part.contains(focused) && focused.matches("input, select, textarea"));
  }

  function replace(part, html) {
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const name = ["href", "formaction"].find((one) => focused && focused.hasAttribute(one));
    const address = name && focused.getAttribute(name);
    part.innerHTML = html;
    const same = name && part.querySelector(`[${name}="${CSS.escape(address)}"]`);
    if (same) {
      same.focus({ preventScroll: true });
    }
  }

  async function follow(part, notice) {
    let shown = null;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      if (document.hidden || isInUse(part)) {
        continue;
      }
      try {
        const reply = await fetch(part.dataset.live, { cache: "no-store" });
        if (!reply.ok) {
          throw new Error(String(reply.status));
        }
        const html = await reply.text();
        if (html !== shown && !isInUse(part)) {
          replace(part, html);
          shown = html;
        }
        notice.textContent = "";
      } catch {
        notice.textContent = NOT_REACHED;
      }
    }
  }

  for (const part of document.querySelectorAll("[data-live]")) {
    const notice = document.createElement("p");
    notice.className = "text-danger";
    notice.setAttribute("role", "status");
    part.before(notice);
    follow(part, notice);
  }
})();
