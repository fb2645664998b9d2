/**
 * What is copied from a page has the exact times, not those from now, which mean nothing elsewhere. Returns what undoes it.
 */
export function exactInCopies(): () => void {
  document.addEventListener('copy', withExactTimes)
  return () => document.removeEventListener('copy', withExactTimes)
}

function withExactTimes(event: ClipboardEvent): void {
  const chosen = getSelection()
  if (!chosen || chosen.isCollapsed || chosen.rangeCount === 0) return
  const range = chosen.getRangeAt(0)
  const around = range.commonAncestorContainer
  const within = (around instanceof Element ? around : around.parentElement)?.closest('time')
  const copy = document.createElement('div')
  // Of a time that is chosen in part, the whole.
  copy.append(within ? within.cloneNode(true) : range.cloneContents())
  const times = copy.querySelectorAll('time[title]')
  if (times.length === 0) return
  for (const time of times) time.textContent = time.getAttribute('title')
  // As the page would be read: only what is laid out knows its lines.
  copy.className = 'unseen-copy'
  document.body.append(copy)
  event.clipboardData?.setData('text/plain', copy.innerText)
  copy.remove()
  event.preventDefault()
}
