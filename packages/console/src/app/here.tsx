import type { TFunction } from 'i18next'
import { createContext, type ReactNode, useContext, useMemo, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { ahead, now as serverNow } from './clock.ts'

// One clock for all times on the page.
let now = serverNow()
const ticking = new Set<() => void>()
const tickAll = () => {
  now = serverNow()
  for (const tick of ticking) tick()
}
setInterval(tickAll, 20_000)
ahead.subscribe(tickAll)
const onTick = (tick: () => void) => {
  ticking.add(tick)
  return () => ticking.delete(tick)
}

export interface Here {
  readonly t: TFunction
  readonly language: string
  /** Milliseconds, by the server's clock; moves every twenty seconds. */
  readonly now: number
  /** As `t` for words without values, kept: rows say the same few hundreds of times. */
  word(key: string): string
}

const HereContext = createContext<Here | null>(null)

/**
 * Words and time for what stands in rows. It costs a look at a context; `useTranslation` subscribes, and a list that is scrolled
 * mounts hundreds of rows a second.
 */
export function useHere(): Here {
  const here = useContext(HereContext)
  if (!here) throw new Error('no words here')
  return here
}

export function HereProvider({ children }: { children: ReactNode }) {
  const { t, i18n } = useTranslation()
  const current = useSyncExternalStore(onTick, () => now)
  const word = useMemo(() => {
    const known = new Map<string, string>()
    return (key: string) => {
      const found = known.get(key)
      if (found !== undefined) return found
      const said = t(key as 'nav.home') as string
      // Words that are still to come are asked for again.
      if (said !== key) known.set(key, said)
      return said
    }
  }, [t])
  const language = i18n.language
  const here = useMemo(() => ({ t, language, now: current, word }), [t, language, current, word])
  return <HereContext.Provider value={here}>{children}</HereContext.Provider>
}
