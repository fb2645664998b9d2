/** Dialogs give the focus back to what opened them within this time, if that is still there. */
const AFTER_DIALOGS_MS = 450

/**
 * Where what had the focus is taken out of the page (the place for files of a run that is judged, a button that is pressed once), the page has
 * it next, not the top of everything. A button that is disabled while it does what was asked has it again afterwards. Returns what
 * undoes it.
 */
export function keepFocus(): () => void {
  let last: Element | null = null
  /** Has the focus, or had it when it was disabled: browsers take it away then, and tell nobody. */
  let pressed: EventTarget | null = null
  let isAway = false
  const hear = ({ target }: FocusEvent) => {
    last = target instanceof Element && target.closest('#content') !== null ? target : null
    pressed = target
    isAway = false
  }
  // Who presses somewhere else meanwhile means that place.
  const leave = () => {
    pressed = null
  }
  const giveBack = (changed: Node) => {
    if (!(changed instanceof HTMLButtonElement) || changed !== pressed) return
    if (isAway && !changed.disabled && document.activeElement === document.body) changed.focus({ preventScroll: true })
    isAway = changed.disabled
  }
  const watching = new MutationObserver((changes) => {
    for (const { type, target } of changes) if (type === 'attributes') giveBack(target)
    if (last === null || last.isConnected) return
    last = null
    setTimeout(() => {
      if (document.activeElement === document.body) document.getElementById('content')?.focus({ preventScroll: true })
    }, AFTER_DIALOGS_MS)
  })
  document.addEventListener('focusin', hear)
  document.addEventListener('pointerdown', leave)
  watching.observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['disabled'] })
  return () => {
    document.removeEventListener('focusin', hear)
    document.removeEventListener('pointerdown', leave)
    watching.disconnect()
  }
}
