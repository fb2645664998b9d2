import 'uplot/dist/uPlot.min.css'
import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import UPlot from 'uplot'
import { exactTime } from '../app/format.ts'
import { axisWidth, timeLabels } from './axes.ts'

export interface Line {
  readonly label: string
  readonly values: readonly (number | null)[]
  readonly tone: 'accent' | 'bad' | 'wait' | 'move' | 'off'
  readonly bars?: boolean
}

const HEIGHT = 190

/**
 * Values over time on a canvas, which thousands of points do not slow; the same as a table below it, for whoever does not see
 * the canvas. Colours are those of the theme.
 */
export default function Chart(props: {
  label: string
  /** Milliseconds, ascending. */
  times: readonly number[]
  lines: readonly Line[]
  show: (value: number) => string
  /** The top of the scale is not lower: little stays little. */
  least?: number
}) {
  const { label, times, lines, show, least = 1 } = props
  const { t, i18n } = useTranslation()
  const scheme = useComputedColorScheme()
  const [open, setOpen] = useState(false)
  const place = useRef<HTMLDivElement>(null)
  const shown = useRef(show)
  shown.current = show
  const said = JSON.stringify([times, lines])
  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew when the values, the words or the colours are others
  useEffect(() => {
    const element = place.current
    if (!element) return
    const style = getComputedStyle(document.documentElement)
    const colour = (name: string) => style.getPropertyValue(`--${name}`).trim()
    const axis = {
      stroke: colour('ink-2'),
      grid: { stroke: colour('line'), width: 1 },
      ticks: { stroke: colour('line'), width: 1 },
      font: '12px sans-serif',
    }
    const days = times.length > 1 && times.at(-1)! - times[0]! > 2 * 86_400_000
    const pen = document.createElement('canvas').getContext('2d')
    if (pen) pen.font = axis.font
    const widthOf = (text: string) => pen?.measureText(text).width ?? 0
    const chart = new UPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        scales: { y: { range: (_, __, most) => [0, Math.max(least, most * 1.08)] } },
        axes: [
          {
            ...axis,
            space: 70,
            values: (_, at) =>
              timeLabels(
                at.map((one) => one * 1_000),
                days,
                i18n.language,
              ),
          },
          {
            ...axis,
            size: (_, values) => axisWidth(values ?? [], widthOf, 62),
            space: 36,
            values: (_, at) => at.map((one) => shown.current(one)),
          },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            stroke: colour(line.tone),
            width: line.bars ? 0 : 1.5,
            points: { size: 4 },
            ...(line.bars
              ? { fill: colour(line.tone), paths: UPlot.paths.bars!({ size: [0.8, 24] }), points: { show: false } }
              : {}),
          })),
        ],
      },
      [times.map((at) => at / 1_000), ...lines.map(({ values }) => [...values])] as UPlot.AlignedData,
      element,
    )
    const watch = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }))
    watch.observe(element)
    return () => {
      watch.disconnect()
      chart.destroy()
    }
  }, [said, scheme, i18n.language])
  return (
    <figure className="chart">
      <figcaption>
        {lines.map((line) => (
          <span key={line.label} className="chart-key">
            <span className={`chart-dot tone-${line.tone}`} aria-hidden="true" /> {line.label}
          </span>
        ))}
      </figcaption>
      <div ref={place} role="img" aria-label={t('insight.chart', { what: label })} className="chart-canvas" />
      {/* Hundreds of rows that nobody asked for would be drawn with every answer. */}
      <details className="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{t('insight.table')}</summary>
        {open && <Rows label={label} times={times} lines={lines} show={show} />}
      </details>
    </figure>
  )
}

function Rows({ label, times, lines, show }: Parameters<typeof Chart>[0]) {
  const { t, i18n } = useTranslation()
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
    <section className="chart-rows" aria-label={label} tabIndex={0}>
      <table className="plain lined">
        <thead>
          <tr>
            <th>{t('run.when')}</th>
            {lines.map((line) => (
              <th key={line.label} className="right">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {times.map((at, i) => (
            <tr key={at}>
              <td>{exactTime(at, i18n.language)}</td>
              {lines.map((line) => (
                <td key={line.label} className="right">
                  {line.values[i] == null ? '–' : show(line.values[i])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
