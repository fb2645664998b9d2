import { useComputedColorScheme } from '@mantine/core'
import { useEffect } from 'react'
import { type IconName, strokesOf } from './icons.tsx'

/** The tab shows a state by its colour and shape, for whoever waits for it in another tab; without one it shows Writ's own sign. */
export function useTabIcon(state: string | undefined, icon: IconName | undefined): void {
  const scheme = useComputedColorScheme('light')
  // biome-ignore lint/correctness/useExhaustiveDependencies: colours are read from the theme that is shown
  useEffect(() => {
    const link = document.querySelector<HTMLLinkElement>('link[rel=icon]')
    if (!link || state === undefined || icon === undefined) return
    const own = link.href
    link.href = addressOf(drawingOf(state, icon))
    link.dataset.state = state
    return () => {
      link.href = own
      delete link.dataset.state
    }
  }, [state, icon, scheme])
}

// A browser may load an icon long after it was named, so none is taken back: there are two for each state at most.
const addresses = new Map<string, string>()

function addressOf(drawing: string): string {
  let address = addresses.get(drawing)
  if (address === undefined) {
    address = URL.createObjectURL(new Blob([drawing], { type: 'image/svg+xml' }))
    addresses.set(drawing, address)
  }
  return address
}

function drawingOf(state: string, icon: IconName): string {
  // The colours of badges stand in the style sheet alone.
  const badge = document.body.appendChild(document.createElement('span'))
  badge.className = `state state-${state}`
  const colour = getComputedStyle(badge).color
  const ground = getComputedStyle(document.body).backgroundColor
  badge.remove()
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="${colour}"/><path d="${strokesOf(icon)}" transform="translate(4 4)" fill="none" stroke="${ground}" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>`
}
