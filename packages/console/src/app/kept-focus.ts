/** Dialogs give the focus back to what opened them within this time, if that is still there. */
const AFTER_DIALOGS_MS = 450

/**
 * Where what had the focus is taken out of the page (the place for files of a run that is judged, a button that is pressed once), the page has
 * it next, not the top of everything. Returns what undoes it.
 */
export function keepFocus(): () => void {
  let last: Element | null = null
  const hear = ({ target }: FocusEvent) => {
    last = target instanceof Element && target.closest('#content') !== null ? target : null
  }
  const watching = new MutationObserver(() => {
    if (last === null || last.isConnected) return
    last = null
    setTimeout(() => {
      if (document.activeElement === document.body) document.getElementById('content')?.focus({ preventScroll: true })
    }, AFTER_DIALOGS_MS)
  })
  document.addEventListener('focusin', hear)
  watching.observe(document.body, { childList: true, subtree: true })
  return () => {
    document.removeEventListener('focusin', hear)
    watching.disconnect()
  }
}
