import { fitText, padText, safeLine, widthOf } from './text.ts'

export type Paint = 'red' | 'green' | 'yellow' | 'dim' | 'bold'

/** One column: what stands above it, and what a row shows in it. */
export interface Column<Row> {
  readonly head: string
  readonly value: (row: Row) => string | number | null | undefined
  readonly paint?: (row: Row) => Paint | undefined
  /** Numbers end where their column ends. */
  readonly right?: true
  /** Gives way when the terminal is narrow. */
  readonly shrink?: true
  /** Left out when the terminal is too narrow for all columns even so; of several the last first. `-o json` has everything. */
  readonly spare?: true
}

export interface TableStyle {
  /** Columns of the terminal; undefined for pipes and files, where nothing is cut off. */
  readonly width: number | undefined
  paint(text: string, paint: Paint | undefined): string
}

const GAP = '  '
/** What can be shortened is not cut below this. */
const NARROWEST = 8
/** As long as columns can be spared, this much stays of what can be shortened: of a title of three characters nobody knows the ticket. */
const READABLE = 16

/** Lines of a table, widths measured as a terminal shows them. */
export function layTable<Row>(rows: readonly Row[], all: readonly Column<Row>[], style: TableStyle): string[] {
  const laid = all.map((column) => {
    const cells = rows.map((row) => safeLine(String(column.value(row) ?? '')))
    return { column, cells, width: Math.max(widthOf(column.head), ...cells.map(widthOf)) }
  })
  const shown = style.width === undefined ? laid : whatFits(withoutEmpty(laid, style.width), style.width)
  const columns = shown.map(({ column }) => column)
  const cells = rows.map((_, row) => shown.map(({ cells }) => cells[row] ?? ''))
  const widths = shown.map(({ width }) => width)
  if (style.width !== undefined) shrink(widths, columns, style.width)
  const lay = (line: readonly string[], paint: (at: number) => Paint | undefined) =>
    line
      .map((text, at) => {
        const width = widths[at] ?? 0
        const fitted = fitText(text, width)
        const painted = style.paint(fitted, paint(at))
        const space = padText('', width - widthOf(fitted))
        if (columns[at]?.right) return space + painted
        return at === columns.length - 1 ? painted : painted + space
      })
      .join(GAP)
      .trimEnd()
  return [
    lay(
      columns.map(({ head }) => head),
      () => 'dim',
    ),
    ...cells.map((line, row) => lay(line, (at) => columns[at]?.paint?.(rows[row] as Row))), // same index as the cells
  ]
}

interface Laid<Row> {
  readonly column: Column<Row>
  readonly cells: readonly string[]
  readonly width: number
}

/** What says nothing in any row gives way before what says something is shortened. */
function withoutEmpty<Row>(laid: readonly Laid<Row>[], room: number): readonly Laid<Row>[] {
  const whole = laid.reduce((sum, { width }) => sum + width + GAP.length, -GAP.length)
  return whole <= room ? laid : laid.filter(({ cells }) => cells.length === 0 || cells.some((text) => text !== ''))
}

/** Without the columns that can be spared, as far as the others do not fit while what can be shortened is still readable. */
function whatFits<Laid extends { readonly column: Pick<Column<never>, 'shrink' | 'spare'>; readonly width: number }>(
  laid: readonly Laid[],
  room: number,
): readonly Laid[] {
  const least = laid.reduce(
    (sum, { column, width }) => sum + (column.shrink ? Math.min(width, READABLE) : width) + GAP.length,
    -GAP.length,
  )
  const spare = laid.findLastIndex(({ column }) => column.spare)
  return least <= room || spare < 0 ? laid : whatFits(laid.toSpliced(spare, 1), room)
}

function shrink<Row>(widths: number[], columns: readonly Column<Row>[], room: number): void {
  const excess = () => widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1) - room
  while (excess() > 0) {
    let widest = -1
    for (const [at, column] of columns.entries()) {
      if (column.shrink && (widths[at] ?? 0) > NARROWEST && (widths[at] ?? 0) > (widths[widest] ?? 0)) widest = at
    }
    if (widest < 0) return
    widths[widest] = (widths[widest] ?? 0) - 1
  }
}
