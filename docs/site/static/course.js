// The keyboard can scroll what scrolls sideways; what does not scroll is no stop for it.
function framesThatScroll() {
  document.querySelectorAll(".picture, .cell_output .output, pre").forEach((frame) => {
    if (frame.scrollWidth > frame.clientWidth) frame.setAttribute("tabindex", "0");
    else frame.removeAttribute("tabindex");
  });
}
addEventListener("load", framesThatScroll);
addEventListener("resize", framesThatScroll);
