import type { Policy, PolicyChange, Project, Role } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { exitCodes } from '../exit-codes.ts'
import { countOf } from '../listing.ts'
import type { Field } from '../output.ts'
import { timeText } from '../text.ts'

interface PolicyOptions {
  fourEyes?: 'on' | 'off'
  approvers?: Role[]
  approvalHours?: string
  evidenceHours?: number
  completedTaskDays?: string
  failedTaskDays?: string
  signatures?: 'required' | 'optional'
  inPerson?: 'required' | 'optional'
}

export function addProjectCommands(program: Command, app: App): void {
  const project = program
    .command('project')
    .description('Projects: fences around tickets, runs, people and their log')
    .addHelpText(
      'after',
      '\nExamples:\n  writ project create factory-a --name "工厂 A"\n  writ project policy --approvers admin ops',
    )

  project
    .command('list')
    .description('List the projects that you may see')
    .action(async () =>
      app.out().list(
        await (await app.client()).all('projects.list'),
        [
          { head: 'SLUG', value: (p) => p.slug },
          { head: 'NAME', value: (p) => p.name, shrink: true },
          { head: 'YOUR ROLE', value: (p) => p.role },
          { head: 'FOUR EYES', value: (p) => (p.policy.four_eyes ? 'on' : 'off') },
        ],
        (p) => p.slug,
      ),
    )

  project
    .command('create <slug>')
    .description('Create a project, with a log of its own; for instance administrators')
    .requiredOption('--name <name>', 'as people call it')
    .action(async (slug: string, { name }: { name: string }) =>
      show(app, await (await app.client()).projects.create({ body: { slug, name } })),
    )

  project
    .command('show [slug]')
    .description('Show a project; the one in use when none is named')
    .action(async (slug: string | undefined) => {
      const named = slug ?? (await app.target()).project ?? 'default'
      show(app, await (await app.client()).projects.get({ params: { slug: named } }))
    })

  project
    .command('policy')
    .description('Show the policy, or ask for another one')
    .addOption(
      new Option('--four-eyes <on|off>', 'the approver is neither creator nor assignee').choices(['on', 'off']),
    )
    .option('--approvers <role...>', 'roles that may approve')
    .option('--approval-hours <count>', 'how long an approval holds; "none" for ever')
    .option('--evidence-hours <count>', 'how long a run waits for evidence', countOf)
    .addOption(
      new Option('--signatures <which>', "whether approvals need the approver's own key").choices([
        'required',
        'optional',
      ]),
    )
    .addOption(
      new Option('--in-person <which>', 'whether an API token alone approves nothing; "writ login" makes one').choices([
        'required',
        'optional',
      ]),
    )
    .option('--completed-task-days <count>', 'how long the record of a completed task is kept; "none" for ever')
    .option('--failed-task-days <count>', 'the same for tasks that failed, timed out or were cancelled')
    .addHelpText(
      'after',
      `
A change waits for a second admin and exits with 4; "writ project policy-changes" lists what waits.
Example:
  writ project policy --four-eyes on --approvers admin ops --evidence-hours 72
  writ project policy --completed-task-days 30 --failed-task-days 365`,
    )
    .action((options: PolicyOptions) => changePolicy(app, options))

  project
    .command('policy-changes')
    .description('List asked and decided policy changes')
    .action(async () =>
      app.out().list(
        await (await app.client()).all('projects.policyChanges'),
        [
          { head: 'ID', value: (c) => c.id },
          { head: 'STATE', value: (c) => c.state },
          { head: 'FOUR EYES', value: (c) => (c.policy.four_eyes ? 'on' : 'off'), spare: true },
          { head: 'APPROVERS', value: (c) => c.policy.approver_roles.join(' ') },
          { head: 'ASKED', value: (c) => timeText(c.created_at) },
        ],
        (c) => c.id,
      ),
    )
  project
    .command('policy-approve <id>')
    .description('Approve a policy change that another admin asked for')
    .action(async (id: string) =>
      showChange(app, await (await app.client()).projects.approvePolicy({ params: { id } })),
    )
  project
    .command('policy-reject <id>')
    .description('Reject or withdraw a policy change')
    .option('--reason <text>', 'why')
    .action(async (id: string, { reason }: { reason?: string }) =>
      showChange(app, await (await app.client()).projects.rejectPolicy({ params: { id }, body: { reason } })),
    )
}

async function changePolicy(app: App, o: PolicyOptions): Promise<void> {
  const client = await app.client()
  const now = await client.projects.policy()
  const asked: Policy = {
    ...now,
    ...(o.fourEyes === undefined ? {} : { four_eyes: o.fourEyes === 'on' }),
    ...(o.approvers === undefined ? {} : { approver_roles: o.approvers }),
    ...(o.approvalHours === undefined ? {} : { approval_ttl_hours: numberOrNone(o.approvalHours) }),
    ...(o.evidenceHours === undefined ? {} : { evidence_ttl_hours: o.evidenceHours }),
    ...(o.completedTaskDays === undefined ? {} : { completed_task_days: numberOrNone(o.completedTaskDays) }),
    ...(o.failedTaskDays === undefined ? {} : { failed_task_days: numberOrNone(o.failedTaskDays) }),
    ...(o.signatures === undefined ? {} : { require_signature: o.signatures === 'required' }),
    ...(o.inPerson === undefined ? {} : { approve_in_person: o.inPerson === 'required' }),
  }
  if (Object.keys(o).length === 0)
    return app.out().item(now, policyFields(now), (await app.target()).project ?? 'default')
  const change = await client.projects.changePolicy({ body: asked })
  showChange(app, change)
  if (change.state === 'pending') {
    app.out().note(`Waits for another admin: writ project policy-approve ${change.id}`)
    app.exit(exitCodes.waitingForApproval)
  }
}

const numberOrNone = (text: string): number | null => (text === 'none' ? null : countOf(text))

function showChange(app: App, change: PolicyChange): void {
  const out = app.out()
  out.item(
    change,
    [['Change', change.id], ['State', change.state], ['Reason', change.reason], ...policyFields(change.policy)],
    change.id,
  )
  for (const warning of change.warnings) out.note(`Warning: ${warning}`)
}

const keptFor = (days: number | null | undefined): string => (days ? `${days} d` : 'for ever')

const policyFields = (policy: Policy): Field[] => [
  ['Four eyes', policy.four_eyes ? 'on' : 'off'],
  ['Approvers', policy.approver_roles.join(' ')],
  ['Approval holds', policy.approval_ttl_hours === null ? 'for ever' : `${policy.approval_ttl_hours} h`],
  ['Run waits for evidence', `${policy.evidence_ttl_hours} h`],
  ['Completed tasks are kept', keptFor(policy.completed_task_days)],
  ['Failed tasks are kept', keptFor(policy.failed_task_days)],
  ['Signatures', policy.require_signature ? "required: by the approver's own key" : 'optional'],
  ['In person', policy.approve_in_person ? 'required: no API token alone approves' : 'optional'],
]

function show(app: App, p: Project): void {
  app
    .out()
    .item(
      p,
      [
        ['Project', `${p.slug}  ${p.name}`, 'bold'],
        ['Your role', p.role],
        ...policyFields(p.policy),
        ['Log', p.log_origin],
        ['Since', timeText(p.created_at)],
        ['Id', p.id],
      ],
      p.slug,
    )
}
