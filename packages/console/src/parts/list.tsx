import { Button } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { type InfiniteData, useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useLocation } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import {
  type CSSProperties,
  type FocusEvent,
  type KeyboardEvent,
  memo,
  type ReactNode,
  type RefObject,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react'
import { useTranslation } from 'react-i18next'
import { useEvents } from '../app/live.ts'
import { useSession } from '../app/session.tsx'
import { ColumnChoice, useColumnChoice, useDense } from './columns.tsx'
import { useGo, useLinks } from './go.tsx'
import { Icon } from './icons.tsx'
import { slotsOf } from './slots.ts'
import { Failed, Loading } from './states.tsx'

export interface Column<T> {
  readonly name: string
  readonly title: string
  /** A CSS grid track. */
  readonly width: string
  readonly right?: boolean
  /** Left out on a narrow page, where a row is a card. */
  readonly wide?: boolean
  /** May be left out where the table is too narrow for all: 1 goes first. */
  readonly spare?: number
  show(row: T): ReactNode
}

/** How high rows are, in pixels: as people find them, and when they want more of them at once. */
const ROW = { usual: 32, dense: 26 } as const

export interface PageOfRows<T> {
  readonly items: T[]
  readonly next_cursor: string | null
}

/**
 * A list that the server pages by cursor: rows are drawn as they come into view and fetched as the end comes near, so its
 * length does not matter. j and k move, Enter opens. What is new is counted above and let in when asked, so that nothing
 * moves under a pointer; rows that are there are refreshed in place.
 */
export function List<T extends { id: string; number?: number }>(props: {
  name: string
  label: string
  filters: Readonly<Record<string, string>>
  columns: readonly Column<T>[]
  load: (cursor: string, signal: AbortSignal) => Promise<PageOfRows<T>>
  /** Fetches one row again when something happened to it. */
  reload?: (id: string) => Promise<T>
  to: (row: T) => string
  /** Event types that add a row (`ticket.created`) and groups that change one. */
  adds?: string
  changes?: string
  empty: ReactNode
  /** Hears which rows are there, for what is asked about all of them at once. */
  onRows?: (rows: readonly T[]) => void
  /** What adds rows without an event is looked for so often (ms): new ones are counted, those that are there refreshed. */
  pulse?: number
}) {
  const { name, label, filters, columns: all, load, reload, to, adds, changes, empty, onRows, pulse } = props
  const { project } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const [hidden, toggle] = useColumnChoice(name)
  const height = useDense() ? ROW.dense : ROW.usual
  // Rows are cards on a narrow page, each as high as it is; measuring others would lay the page out once for each.
  const cards = useMediaQuery('(max-width: 760px)', undefined, { getInitialValueInEffect: false })
  const [frame, setFrame] = useState<HTMLDivElement | null>(null)
  const width = useWidth(frame)
  const columns = useMemo(
    () =>
      thatFit(
        all.filter((one, i) => i === 0 || !hidden.has(one.name)),
        width,
      ),
    [all, hidden, width],
  )
  const about = JSON.stringify(filters)
  const key = useMemo(() => [project, name, about], [project, name, about])
  // Of other filters others are new: they were asked for with the rows.
  const [counted, setCounted] = useState({ key, count: 0 })
  const fresh = counted.key === key ? counted.count : 0
  const scroller = useRef<HTMLDivElement>(null)
  const query = useInfiniteQuery({
    queryKey: key,
    initialPageParam: '',
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
    getNextPageParam: ({ next_cursor }: PageOfRows<T>) => next_cursor,
    refetchOnWindowFocus: false,
    // Events are heard by the list that is shown: what happened since somebody looked at another is asked for, however short that was.
    staleTime: 0,
    // Or each page that comes would be compared with all rows that are there.
    structuralSharing: false,
  })
  // Once for each answer, not for each frame of a scroll.
  const rows = useMemo(() => query.data?.pages.flatMap(({ items }) => items) ?? [], [query.data])

  // By row, which question was the last and which one's answer is shown: an older answer may come after a newer one.
  const turns = useRef(new Map<string, { asked: number; shown: number }>())
  useEvents(
    useCallback(
      ({ data }) => {
        if (data.event_type === adds) setCounted((old) => ({ key, count: (old.key === key ? old.count : 0) + 1 }))
        const id = data.event_type.startsWith('artifact.') ? null : data.resource_id
        if (!reload || id === null || !changes || !data.event_type.startsWith(changes)) return
        const known = queries
          .getQueryData<InfiniteData<PageOfRows<T>>>(key)
          ?.pages.some(({ items }) => items.some((row) => row.id === id))
        if (!known) return
        const turn = turns.current.get(id) ?? { asked: 0, shown: 0 }
        turns.current.set(id, turn)
        turn.asked++
        const mine = turn.asked
        void reload(id)
          .then((row) => {
            if (mine < turn.shown) return
            turn.shown = mine
            queries.setQueryData<InfiniteData<PageOfRows<T>>>(
              key,
              (old) =>
                old && {
                  ...old,
                  pages: old.pages.map((page) => ({
                    ...page,
                    items: page.items.map((one) => (one.id === id ? row : one)),
                  })),
                },
            )
          })
          // It is gone or no longer visible; the next look at the list says so.
          .catch(() => {})
      },
      [adds, changes, reload, key, queries],
    ),
  )
  const look = useRef(load)
  look.current = load
  useEffect(() => {
    if (pulse === undefined) return
    const stop = new AbortController()
    let [asked, answered] = [0, 0]
    const timer = setInterval(() => {
      const shown = () => queries.getQueryData<InfiniteData<PageOfRows<T>>>(key)
      if (document.hidden || shown() === undefined) return
      asked++
      const mine = asked
      void look
        .current('', stop.signal)
        .then((page) => {
          const { items } = page
          const before = shown()
          // A slow server may answer a beat behind the next one.
          if (before === undefined || stop.signal.aborted || mine < answered) return
          answered = mine
          const now = new Map(items.map((row) => [row.id, row]))
          const known = new Set(before.pages.flatMap((one) => one.items.map(({ id }) => id)))
          // Where nothing is, nothing moves under a pointer.
          if (known.size === 0) {
            queries.setQueryData(key, { pages: [page], pageParams: [''] })
            return
          }
          // Below the last row that is there others may follow, which are none of the new.
          const end = before.pages.at(-1)?.next_cursor === null ? 0 : (before.pages.at(-1)?.items.at(-1)?.number ?? 0)
          setCounted({ key, count: items.filter(({ id, number = 0 }) => !known.has(id) && number > end).length })
          queries.setQueryData<InfiniteData<PageOfRows<T>>>(
            key,
            (old) =>
              old && {
                ...old,
                pages: old.pages.map((one) => ({ ...one, items: one.items.map((row) => newer(row, now.get(row.id))) })),
              },
          )
        })
        // The sign of the connection says it; the next beat asks again.
        .catch(() => {})
    }, pulse)
    return () => {
      stop.abort()
      clearInterval(timer)
    }
  }, [pulse, key, queries])
  const ids = useMemo(() => rows.map(({ id }) => id).join(), [rows])
  // biome-ignore lint/correctness/useExhaustiveDependencies: told again when the rows are others
  useEffect(() => onRows?.(rows), [ids])

  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query
  const nearEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage])
  const letIn = () => {
    setCounted({ key, count: 0 })
    scroller.current?.scrollTo({ top: 0 })
    void queries.resetQueries({ queryKey: key })
  }
  if (query.isPending) return <Loading lines={8} />
  if (query.isError && rows.length === 0) return <Failed error={query.error} retry={() => query.refetch()} />
  return (
    <div className="list" ref={setFrame}>
      {fresh > 0 && (
        <Button
          variant="light"
          size="compact-sm"
          className="fresh"
          onClick={letIn}
          leftSection={<Icon name="refresh" size={13} />}
        >
          {t('list.fresh', { count: fresh })}
        </Button>
      )}
      {rows.length === 0 ? (
        empty
      ) : (
        <ColumnChoice columns={all.slice(1).filter(({ title }) => title !== '')} hidden={hidden} toggle={toggle} />
      )}
      {rows.length > 0 && (
        <div
          className="list-table"
          role="table"
          aria-label={label}
          aria-rowcount={hasNextPage ? -1 : rows.length + 1}
          style={{ '--tracks': columns.map(({ width }) => width).join(' '), '--row': `${height}px` } as CSSProperties}
        >
          <div className="list-head" role="row">
            {columns.map(({ name: column, title, right, wide }) => (
              <span key={column} role="columnheader" className={`${right ? 'right' : ''} ${wide ? 'wide' : ''}`}>
                {title}
              </span>
            ))}
          </div>
          <Rows
            // Others are measured anew.
            key={height}
            height={height}
            cards={cards}
            rows={rows}
            columns={columns}
            label={label}
            to={to}
            scroller={scroller}
            nearEnd={nearEnd}
          />
        </div>
      )}
      {isFetchingNextPage && <p className="dimmed small list-more">{t('state.loading')}</p>}
      {query.isError && rows.length > 0 && <Failed error={query.error} retry={() => query.fetchNextPage()} />}
    </div>
  )
}

/** How wide it is, in pixels, before it is painted and whenever that changes; 0 before it is there. */
function useWidth(of: HTMLElement | null): number {
  const [width, setWidth] = useState(0)
  useLayoutEffect(() => {
    if (!of) return
    const measure = () => setWidth(of.clientWidth)
    measure()
    const watching = new ResizeObserver(measure)
    watching.observe(of)
    return () => watching.disconnect()
  }, [of])
  return width
}

/** As many of the columns as fit side by side, given up in their own order; all of them where rows are cards. */
function thatFit<T>(columns: readonly Column<T>[], width: number): readonly Column<T>[] {
  if (width === 0 || window.innerWidth <= 760) return columns
  // The least that a track takes is the first number in it; beside it is a gap of 16, and around them are 16.
  const needed = columns.reduce((sum, one) => sum + Number(/\d+/.exec(one.width)?.[0] ?? 0) + 16, 0)
  const next = columns.filter(({ spare }) => spare !== undefined).sort((a, b) => (a.spare ?? 0) - (b.spare ?? 0))[0]
  return needed <= width || !next
    ? columns
    : thatFit(
        columns.filter((one) => one !== next),
        width,
      )
}

/**
 * Where in each list somebody was, by the entry of the history that it was looked at in: who goes back is there again, who comes by a
 * link is at the top.
 */
const places = new Map<string, { readonly top: number; readonly first: number }>()

/** The row itself if nothing of it is new, so that it is not drawn again. */
const newer = <T,>(row: T, now: T | undefined): T =>
  now === undefined || JSON.stringify(row) === JSON.stringify(now) ? row : now

/** The rows in view, and some around them. Of its own, so that scrolling draws nothing else anew. */
function Rows<T extends { id: string }>(props: {
  rows: readonly T[]
  columns: readonly Column<T>[]
  label: string
  to: (row: T) => string
  scroller: RefObject<HTMLDivElement | null>
  nearEnd: () => void
  height: number
  cards: boolean
}) {
  const { rows, columns, label, to, scroller, nearEnd, height, cards } = props
  const { t } = useTranslation()
  const go = useGo()
  const link = useLinks()
  const [at, setAt] = useState(-1)
  const entry = useLocation({ select: ({ state }) => state.__TSR_key })
  const [place] = useState(`${entry} ${label}`)
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    initialOffset: places.get(place)?.top ?? 0,
    estimateSize: () => height,
    overscan: 4,
    getItemKey: (i) => rows[i]!.id,
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies: cards that become rows, or the other way round, are where they are
  useLayoutEffect(() => {
    const body = scroller.current
    const before = places.get(place)
    if (!body) return
    if (before && cards) virtual.scrollToIndex(before.first, { align: 'start' })
    else if (before) body.scrollTop = before.top
    const remember = () => places.set(place, { top: body.scrollTop, first: virtual.range?.startIndex ?? 0 })
    body.addEventListener('scroll', remember, { passive: true })
    return () => body.removeEventListener('scroll', remember)
  }, [place, scroller])
  const shown = virtual.getVirtualItems()
  const end = shown.at(-1)?.index ?? 0
  // By index: while a list stands, a place in it is the same row. Cards are measured, each by itself, and keep their own elements.
  const slots = useRef<ReadonlyMap<number, number>>(new Map())
  slots.current = slotsOf(slots.current, shown[0]?.index ?? 0, shown.length > 0 ? end : -1)
  useEffect(() => {
    if (end >= rows.length - 30) nearEnd()
  }, [end, rows.length, nearEnd])

  /** Answers whether the key meant something here. */
  const press = (key: string): boolean => {
    const step = key === 'j' || key === 'ArrowDown' ? 1 : key === 'k' || key === 'ArrowUp' ? -1 : 0
    if (step !== 0 && rows.length > 0) {
      const next = Math.max(0, Math.min(rows.length - 1, at + step))
      setAt(next)
      virtual.scrollToIndex(next)
      return true
    }
    if (key !== 'Enter' || !rows[at]) return false
    go(to(rows[at]))
    return true
  }
  // What has the focus in a row that goes out of view would have it in the row that takes its slot: the list has it then.
  const focused = useRef<{ row: Element; at: string | null } | null>(null)
  const hold = ({ target }: FocusEvent) => {
    const row = target.closest('.list-row')
    focused.current = row && { row, at: row.getAttribute('aria-rowindex') }
  }
  useLayoutEffect(() => {
    const { row, at } = focused.current ?? {}
    if (row && row.getAttribute('aria-rowindex') !== at && row.contains(document.activeElement))
      scroller.current?.focus({ preventScroll: true })
  })
  const keys = (event: KeyboardEvent) => {
    if (event.target === event.currentTarget && press(event.key)) event.preventDefault()
  }
  // j, k and Enter work from anywhere on the page, as long as nothing else has the focus.
  const latest = useRef(press)
  latest.current = press
  useEffect(() => {
    const hear = (event: globalThis.KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !['j', 'k', 'Enter'].includes(event.key)) return
      const idle = event.target === document.body || (event.target as HTMLElement).id === 'content'
      if (idle && latest.current(event.key)) event.preventDefault()
    }
    document.addEventListener('keydown', hear)
    return () => document.removeEventListener('keydown', hear)
  }, [])
  return (
    <div
      ref={scroller}
      className="list-body"
      role="rowgroup"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the list is walked with j and k
      tabIndex={0}
      aria-label={`${label}: ${t('list.keys')}`}
      onKeyDown={keys}
      onFocus={hold}
    >
      <div className="list-space" style={{ height: virtual.getTotalSize() }} role="presentation">
        <div className="list-drawn" style={{ transform: `translateY(${shown[0]?.start ?? 0}px)` }} role="presentation">
          {shown.map(({ key: id, index }) => (
            <Row
              key={cards ? id : slots.current.get(index)}
              row={rows[index]!}
              columns={columns}
              to={to}
              link={link}
              index={index}
              isAt={index === at}
              measure={cards ? virtual.measureElement : undefined}
            />
          ))}
        </div>
      </div>
    </div>
  )
}

interface RowProps<T> {
  readonly row: T
  readonly columns: readonly Column<T>[]
  readonly to: (row: T) => string
  readonly link: ReturnType<typeof useLinks>
  readonly index: number
  readonly isAt: boolean
  readonly measure: ((node: HTMLElement | null) => void) | undefined
}

/** Made anew when the row is another, not when the list is scrolled. */
const Row = memo(function Row<T>({ row, columns, to, link, index, isAt, measure }: RowProps<T>) {
  return (
    <div
      data-index={measure && index}
      ref={measure}
      className={isAt ? 'list-row list-at' : 'list-row'}
      role="row"
      aria-rowindex={index + 2}
    >
      {columns.map(({ name: column, show, right, wide }, i) => (
        <span key={column} role="cell" className={`cell-${column}${right ? ' right' : ''}${wide ? ' wide' : ''}`}>
          {i === 0 ? <a {...link(to(row))}>{show(row)}</a> : show(row)}
        </span>
      ))}
    </div>
  )
}) as <T>(props: RowProps<T>) => ReactNode // `memo` forgets the parameter
