import { useLocation, useNavigate, useParams } from '@tanstack/react-router'
import { type AnchorHTMLAttributes, type MouseEvent, useCallback } from 'react'
import { paths } from '../app/page-settings.ts'

const BASE = paths.console

/** The project of the address. */
const useProject = (): string => useParams({ strict: false, select: (params) => String(params.project ?? '') })

const NONE: Readonly<Record<string, string>> = {}

/** The address of a page of this project: `tickets/12`. */
function addressOf(project: string, to: string, filters: Readonly<Record<string, string>> = NONE): string {
  const search = filters === NONE ? '' : new URLSearchParams(filters).toString()
  return `/${project}${to === '' ? '' : `/${to}`}${search === '' ? '' : `?${search}`}`
}

/** Goes to a page of this project. */
export function useGo(): (to: string, filters?: Readonly<Record<string, string>>) => void {
  const navigate = useNavigate()
  const project = useProject()
  return useCallback(
    (to, filters) => void navigate({ href: BASE + addressOf(project, to, filters) }),
    [navigate, project],
  )
}

type GoProps = AnchorHTMLAttributes<HTMLAnchorElement> & {
  to: string
  filters?: Readonly<Record<string, string>>
  /** Another project than that of the address. */
  project?: string
}

/** A link to a page of the project: a real one, so that it opens in another tab, is copied, and works by keyboard. */
export function Go({ to, filters, project, onClick, children, ...props }: GoProps) {
  const link = useLinks()
  const { href, onClick: open } = link(to, filters, project)
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    open(event)
  }
  return (
    <a href={href} onClick={click} {...props}>
      {children}
    </a>
  )
}

/** What makes an anchor such a link: for many of them, which then need nothing of their own. */
export function useLinks() {
  const navigate = useNavigate()
  const here = useProject()
  return useCallback(
    (to: string, filters?: GoProps['filters'], project?: string) => {
      const href = BASE + addressOf(project ?? here, to, filters)
      return {
        href,
        onClick(event: MouseEvent<HTMLAnchorElement>) {
          const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
          if (event.defaultPrevented || !plain) return
          event.preventDefault()
          void navigate({ href })
        },
      }
    },
    [navigate, here],
  )
}

/** The filters of a page live in its address: a link to it is a view that was saved. */
export function useFilters(): [
  Readonly<Record<string, string>>,
  (change: Readonly<Record<string, string | null>>) => void,
] {
  const navigate = useNavigate()
  const { pathname, searchStr } = useLocation()
  const filters = Object.fromEntries(new URLSearchParams(searchStr))
  const set = useCallback(
    (change: Readonly<Record<string, string | null>>) => {
      const next = new URLSearchParams(searchStr)
      for (const [name, value] of Object.entries(change)) {
        if (value === null || value === '') next.delete(name)
        else next.set(name, value)
      }
      const search = next.toString()
      // The router's own path has no base.
      void navigate({ href: `${BASE}${pathname}${search === '' ? '' : `?${search}`}`, replace: true })
    },
    [navigate, pathname, searchStr],
  )
  return [filters, set]
}
