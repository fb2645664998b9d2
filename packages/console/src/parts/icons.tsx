import type { SVGProps } from 'react'

// Drawn here: two dozen strokes weigh less than a library of thousands.
const paths = {
  home: 'M3 11l9-8 9 8M5 9.5V20h5v-6h4v6h5V9.5',
  ticket: 'M4 6h16v4a2 2 0 0 0 0 4v4H4v-4a2 2 0 0 0 0-4zM10 6v12',
  run: 'M6 4l13 8-13 8z',
  asset: 'M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01M12 8h4M12 16h4',
  rules: 'M4 6l1.500 1.500L8 5M4 12l1.500 1.500L8 11M4 18l1.500 1.500L8 17M12 6h8M12 12h8M12 18h8',
  audit: 'M12 3l8 3v6c0 5-3.5 8-8 9-4.500-1-8-4-8-9V6zM9 12l2 2 4-4',
  notices: 'M18 9a6 6 0 0 0-12 0c0 6-2 7-2 7h16s-2-1-2-7M10 20h4',
  settings: 'M4 7h10M18 7h2M4 17h4M12 17h8M14 4v6M8 14v6',
  start: 'M5 4v16M5 5h13l-3 4 3 4H5',
  task: 'M13 3L5 14h6l-1 7 8-11h-6z',
  queue: 'M4 6h10M4 12h10M4 18h10M18 4v16M15 17l3 3 3-3',
  dead: 'M3 6h18v12H3zM3 7l9 6 9-6M9 15l-4 3',
  calendar: 'M4 6h16v14H4zM4 10h16M8 3v5M16 3v5M8 14h.01M12 14h.01M16 14h.01M8 17h.01',
  insight: 'M4 20V4M4 20h16M8 16v-5M12 16V8M16 16v-3',
  pause: 'M8 5v14M16 5v14',
  search: 'M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM20 20l-4-4',
  check: 'M5 12l5 5L20 7',
  cross: 'M6 6l12 12M18 6L6 18',
  clock: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM12 8v4l3 2',
  slash: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM6.500 6.500l11 11',
  hand: 'M8 12V6a1.500 1.500 0 0 1 3 0v5V4.500a1.500 1.500 0 0 1 3 0V11V6a1.500 1.500 0 0 1 3 0v8a6 6 0 0 1-6 6c-3 0-4.500-1.500-6-4l-2-3.500c1-1 2-.5 3 .5z',
  plug: 'M9 3v6M15 3v6M6 9h12v3a6 6 0 0 1-12 0zM12 18v3',
  dots: 'M12 5h.01M12 12h.01M12 19h.01',
  copy: 'M8 8h11v12H8zM16 8V4H5v12h3',
  download: 'M12 4v11M7 11l5 5 5-5M4 20h16',
  upload: 'M12 16V5M7 9l5-5 5 5M4 20h16',
  file: 'M6 3h8l5 5v13H6zM14 3v5h5',
  plus: 'M12 5v14M5 12h14',
  sun: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400',
  moon: 'M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500z',
  language: 'M4 6h10M9 4v2M12 6c-1 4-4 7-8 9M6 9c1 3 4 5 7 6M13 20l4-10 4 10M14.500 17h5',
  help: 'M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.7.300-1 .8-1 1.700M12 17h.01',
  user: 'M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM4 21c0-4 4-6 8-6s8 2 8 6',
  signOut: 'M10 4H5v16h5M14 8l4 4-4 4M8 12h10',
  down: 'M6 9l6 6 6-6',
  right: 'M9 6l6 6-6 6',
  left: 'M15 6l-6 6 6 6',
  menu: 'M4 7h16M4 12h16M4 17h16',
  list: 'M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01',
  board: 'M4 4h4v16H4zM10 4h4v11h-4zM16 4h4v8h-4z',
  key: 'M15.500 4a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9zM12 12l-7 7M6.500 17.500l2 2M9 15l2 2',
  warning: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
  comment: 'M4 5h16v11H9l-5 4z',
  refresh: 'M19 5v5h-5M5 19v-5h5M6 9a7 7 0 0 1 12-2l1 3M18 15a7 7 0 0 1-12 2l-1-3',
  eye: 'M2 12s3.500-7 10-7 10 7 10 7-3.500 7-10 7-10-7-10-7zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6z',
  stop: 'M6 6h12v12H6z',
  pencil: 'M4 20h4L19 9l-4-4L4 16z',
} as const

export type IconName = keyof typeof paths

/** The strokes of a drawing, in a square of 24. */
export const strokesOf = (name: IconName): string => paths[name]

/** A drawing beside a word, in strokes of its colour (`.icon`). It says nothing to a screen reader: the word does. */
export function Icon({
  name,
  size = 16,
  className,
  ...props
}: { name: IconName; size?: number } & SVGProps<SVGSVGElement>) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      aria-hidden="true"
      className={className === undefined ? 'icon' : `icon ${className}`}
      {...props}
    >
      <path d={paths[name]} />
    </svg>
  )
}
