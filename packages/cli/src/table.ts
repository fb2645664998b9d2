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
}

export interface TableStyle {
  /** Columns of the terminal; undefined for pipes and files, where nothing is cut off. */
  readonly width: number | undefined
  paint(text: string, paint: Paint | undefined): string
}

const GAP = '  '
const NARROWEST = 8

/** Lines of a table, widths measured as a terminal shows them. */
export function layTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], style: TableStyle): string[] {
  const cells = rows.map((row) => columns.map((column) => safeLine(String(column.value(row) ?? ''))))
  const widths = columns.map((column, at) =>
    Math.max(widthOf(column.head), ...cells.map((line) => widthOf(line[at] ?? ''))),
  )
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
