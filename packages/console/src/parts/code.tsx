import type { ReactNode } from 'react'

/** Text of machines. It scrolls, so it is reached by keyboard too. */
export function Code({ tall = false, more = '', children }: { tall?: boolean; more?: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <pre className={`code ${tall ? 'tall' : ''} ${more}`} tabIndex={0}>
      {children}
    </pre>
  )
}
