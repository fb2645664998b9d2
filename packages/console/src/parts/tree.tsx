/** A value as a tree that opens where it is pressed. */
export function Tree({ name, value, open = false }: { name: string; value: unknown; open?: boolean }) {
  if (value === null || value === undefined) return null
  return (
    <div className="tree">
      <Node name={name} value={value} open={open} />
    </div>
  )
}

function Node({ name, value, open }: { name: string; value: unknown; open: boolean }) {
  if (typeof value !== 'object' || value === null)
    return (
      <div className="leaf">
        <span className="tree-name">{name}</span>{' '}
        <span className={`tree-${value === null ? 'null' : typeof value}`}>
          {value === null ? 'null' : String(value)}
        </span>
      </div>
    )
  const entries = Object.entries(value)
  return (
    <details open={open}>
      <summary>
        <span className="tree-name">{name}</span>{' '}
        <span className="dimmed">{Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`}</span>
      </summary>
      <div className="branch">
        {entries.map(([key, inner]) => (
          <Node key={key} name={key} value={inner} open={entries.length === 1} />
        ))}
      </div>
    </details>
  )
}
