/** How far above what the pointer is on an ellipsis is looked for: a number in a link in a cell. */
const FAR = 4

/** What is cut with an ellipsis says all of it while the pointer is on it. Returns what undoes it. */
export function wholeOnHover(): () => void {
  // One at a time: rows of lists are used again for other rows.
  let told: Element | null = null
  const hear = ({ target }: MouseEvent) => {
    told?.removeAttribute('title')
    told = null
    if (!(target instanceof Element) || target.closest('[title]')) return
    const cut = findCut(target)
    if (cut === null) return
    cut.setAttribute('title', cut.textContent.trim())
    told = cut
  }
  document.addEventListener('mouseover', hear, { passive: true })
  return () => document.removeEventListener('mouseover', hear)
}

function findCut(from: Element): Element | null {
  let at: Element | null = from
  for (let up = 0; at !== null && up < FAR; up++, at = at.parentElement)
    if (at.scrollWidth > at.clientWidth && getComputedStyle(at).textOverflow === 'ellipsis') return at
  return null
}
