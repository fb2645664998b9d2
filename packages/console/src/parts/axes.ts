/** What stands beside the axes of a chart. Pure, so that it is tested without a canvas. */

/**
 * The times below a chart, in milliseconds. Over days each day is named once, at its beginning in the viewer's zone; what lies between is
 * told by the clock, or two neighbours would be called the same.
 */
export function timeLabels(times: readonly number[], overDays: boolean, language: string): string[] {
  const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  const day = new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric' })
  return times.map((at) => {
    const time = new Date(at)
    return (overDays && time.getHours() === 0 && time.getMinutes() === 0 ? day : clock).format(time)
  })
}

/** How wide an axis has to be for its values, in pixels: `widthOf` measures one. Never less than `least`, so that charts below each other line up. */
export const axisWidth = (values: readonly string[], widthOf: (text: string) => number, least: number): number =>
  Math.max(least, ...values.map((value) => Math.ceil(widthOf(value)) + BESIDE))

/** The tick and the gap that uPlot leaves beside a value. */
const BESIDE = 18
