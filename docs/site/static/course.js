// The keyboard can scroll what scrolls sideways; what does not scroll is no stop for it.
function framesThatScroll() {
  const frames = ".picture, .cell_output .output, .pst-scrollable-table-container, pre";
  document.querySelectorAll(frames).forEach((frame) => {
    if (frame.scrollWidth > frame.clientWidth) frame.setAttribute("tabindex", "0");
    else frame.removeAttribute("tabindex");
  });
}
addEventListener("load", framesThatScroll);
addEventListener("resize", framesThatScroll);
