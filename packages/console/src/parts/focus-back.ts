import { useLayoutEffect } from 'react'

/** When what had the focus is gone for good: a dialog fades for 200 ms and has it until then. */
const GONE_MS = [20, 400] as const

/**
 * Gives the focus back to what opened a dialog when the dialog is gone, also where it is taken out of the page at once, or what opened it
 * is there no more (a row that was deleted): then the page has it, not the top of everything.
 */
export function useFocusBack(opened: boolean): void {
  useLayoutEffect(() => {
    if (!opened) return
    const before = document.activeElement
    return () => {
      for (const after of GONE_MS)
        setTimeout(() => {
          if (document.activeElement !== document.body) return
          const isThere = before instanceof HTMLElement && before !== document.body && before.isConnected
          const place = isThere ? before : document.getElementById('content')
          place?.focus({ preventScroll: true })
        }, after)
    }
  }, [opened])
}
