import type { Command } from 'commander'
import { type App, refOf } from '../app.ts'
import { assetColumns, assetFields } from '../columns.ts'
import { usage } from '../failure.ts'
import { allOption, type ListOptions, limitOption, listSome } from '../listing.ts'

interface Given {
  name?: string
  type?: string
  serial?: string
  location?: string
  description?: string
}

export function addAssetCommands(program: Command, app: App): void {
  const asset = program
    .command('asset')
    .description('Assets: devices and services that tickets touch')
    .addHelpText(
      'after',
      '\nExamples:\n  writ asset add "Main switch" --type switch --serial SW-002\n  writ asset list --type switch',
    )
  const withFields = (command: Command) =>
    command
      .option('--serial <number>', 'serial number, unique in the project')
      .option('--location <place>', 'where it stands')
      .option('--description <text>', 'anything else')

  withFields(asset.command('add <name>').description('Add an asset'))
    .requiredOption('--type <type>', 'what it is: switch, router, server, ...')
    .action(async (name: string, given: Given & { type: string }) => {
      const { type, ...rest } = given
      const added = await (await app.client()).assets.create({ body: { name, asset_type: type, ...bodyOf(rest) } })
      app.out().item(added, assetFields(added), added.number)
    })

  asset
    .command('list')
    .description('List assets')
    .option('--type <type>', 'only of this type')
    .option('--search <text>', 'only those with this text')
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (options: ListOptions & { type?: string; search?: string }) => {
      const query = { asset_type: options.type, q: options.search }
      await listSome(app, 'assets.list', query, options, assetColumns, (a) => a.number)
    })

  asset
    .command('show <asset>')
    .description('Show an asset')
    .action(async (ref: string) => {
      const found = await (await app.client()).assets.get({ params: { id: refOf(ref) } })
      app.out().item(found, assetFields(found), found.number)
    })

  withFields(asset.command('edit <asset>').description('Change an asset; only what is given changes'))
    .option('--name <name>', 'another name')
    .option('--type <type>', 'another type')
    .action(async (ref: string, given: Given) => {
      const body = bodyOf(given)
      if (Object.keys(body).length === 0) throw usage('Nothing to change was given')
      const changed = await (await app.client()).assets.update({ params: { id: refOf(ref) }, body })
      app.out().item(changed, assetFields(changed), changed.number)
    })
}

const bodyOf = ({ name, type, serial, location, description }: Given) => ({
  ...(name === undefined ? {} : { name }),
  ...(type === undefined ? {} : { asset_type: type }),
  ...(serial === undefined ? {} : { serial_number: serial }),
  ...(location === undefined ? {} : { location }),
  ...(description === undefined ? {} : { description }),
})
