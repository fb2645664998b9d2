import type { Command } from 'commander'
import { usage } from './failure.ts'

/**
 * Options that say nothing without another, by their names in `opts()`: given alone they are a slip, refused before anything is asked
 * of the server. What another option only has by default does not count as given.
 */
export function besideOthers(command: Command, needs: Readonly<Record<string, string>>): Command {
  const flag = (name: string) => command.options.find((option) => option.attributeName() === name)?.long ?? name
  const isGiven = (name: string) => command.getOptionValueSource(name) === 'cli'
  return command.hook('preAction', () => {
    for (const [option, other] of Object.entries(needs))
      if (isGiven(option) && !isGiven(other)) throw usage(`${flag(option)} says nothing without ${flag(other)}`)
  })
}
