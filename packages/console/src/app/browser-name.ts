/** The program's name and version out of what it calls itself; the whole of it says little to people. */
export function browserOf(agent: string | null): string | null {
  if (agent === null) return null
  return named(agent)?.join(' ') ?? agent.slice(0, 40)
}

/** Browser and system, as one calls the device at which one sits: `Firefox, Windows`. Empty when neither is known. */
export function deviceOf(agent: string): string {
  const system = SYSTEMS.find(([sign]) => agent.includes(sign))?.[1]
  return [named(agent)?.[0], system].filter((one) => one !== undefined).join(', ')
}

// Phones name other systems, too, so they come first.
const SYSTEMS = [
  ['iPhone', 'iPhone'],
  ['iPad', 'iPad'],
  ['Android', 'Android'],
  ['Windows', 'Windows'],
  ['CrOS', 'ChromeOS'],
  ['Mac OS X', 'macOS'],
  ['Linux', 'Linux'],
] as const

function named(agent: string): readonly [name: string, version: string] | null {
  // Edge calls itself Chrome as well, and browsers of iPhones call themselves Safari.
  const found =
    /(Edg|EdgA|EdgiOS|FxiOS|CriOS)\/(\d+)/.exec(agent) ??
    /(Firefox|Chrome|Version)\/(\d+)/.exec(agent.replace('HeadlessChrome', 'Chrome'))
  if (!found) return null
  const [, word = '', version = ''] = found
  const name =
    { Version: 'Safari', FxiOS: 'Firefox', CriOS: 'Chrome' }[word] ?? (word.startsWith('Edg') ? 'Edge' : word)
  return [name, version]
}
