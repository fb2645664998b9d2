import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Navigate,
  Outlet,
  type RouteComponent,
  useParams,
} from '@tanstack/react-router'
import type { Project } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { Home } from '../pages/home.tsx'
import { Empty, Failed, InPieces, Loading } from '../parts/states.tsx'
import { withWords } from '../words/index.ts'
import { Members } from './members.tsx'
import { paths, preferences } from './page-settings.ts'
import { patient } from './patient.ts'
import { Gate, InProject } from './session.tsx'
import { Shell } from './shell.tsx'

const root = createRootRoute({
  component: Outlet,
  notFoundComponent: () => <NothingHere />,
  errorComponent: ({ error, reset }) => <Failed error={error} retry={reset} whole />,
})

function NothingHere() {
  const { t } = useTranslation()
  return (
    <main className="whole">
      <Empty icon="search" title={t('error.noPage')} text={<a href={paths.console}>{t('error.toStart')}</a>} />
    </main>
  )
}

/** The project that was looked at last, if it still is one of mine; else `default`, or the first. */
function homeOf(projects: readonly Project[]): string | undefined {
  const slugs = projects.map(({ slug }) => slug)
  const last = preferences.get('project')
  if (last !== null && slugs.includes(last)) return last
  return slugs.includes('default') ? 'default' : slugs[0]
}

const index = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: function Index() {
    const { t } = useTranslation()
    return (
      <Gate>
        {(projects) => {
          const slug = homeOf(projects)
          if (slug === undefined)
            return (
              <main className="whole">
                <Empty icon="hand" title={t('error.noProject')} text={t('error.noProjectText')} />
              </main>
            )
          return <Navigate to={`/${slug}` as '/'} replace />
        }}
      </Gate>
    )
  },
})

const inProject = createRoute({
  getParentRoute: () => root,
  path: '$project',
  component: function ProjectPages() {
    const { project } = useParams({ strict: false }) as { project: string }
    return (
      <Gate>
        {(projects) => (
          <InProject key={project} project={project} projects={projects}>
            <InPieces before={<Loading whole />}>
              <Members>
                <Shell>
                  <Outlet />
                </Shell>
              </Members>
            </InPieces>
          </InProject>
        )}
      </Gate>
    )
  },
})

/** A page of the project; all but the first are loaded when they are looked at. */
const page = (path: string, component: RouteComponent) =>
  createRoute({
    getParentRoute: () => inProject,
    path,
    component,
    pendingComponent: () => <Loading lines={6} />,
  })

const tree = root.addChildren([
  index,
  inProject.addChildren([
    // Small, looked at first by most, and made of what every page needs: it is there with the frame.
    page('/', Home),
    page(
      'start',
      lazyRouteComponent(() => withWords(() => import('../pages/start.tsx')), 'Start'),
    ),
    page(
      'tickets',
      lazyRouteComponent(() => withWords(() => import('../pages/tickets.tsx')), 'Tickets'),
    ),
    page(
      'tickets/new',
      lazyRouteComponent(() => patient(() => import('../pages/ticket-form.tsx')), 'NewTicket'),
    ),
    page(
      'tickets/$number',
      lazyRouteComponent(() => withWords(() => import('../pages/ticket.tsx')), 'TicketPage'),
    ),
    page(
      'runs',
      lazyRouteComponent(() => withWords(() => import('../pages/runs.tsx')), 'Runs'),
    ),
    page(
      'runs/$number',
      lazyRouteComponent(() => withWords(() => import('../pages/run.tsx')), 'RunPage'),
    ),
    page(
      'assets',
      lazyRouteComponent(() => withWords(() => import('../pages/assets.tsx')), 'Assets'),
    ),
    page(
      'assets/$number',
      lazyRouteComponent(() => withWords(() => import('../pages/assets.tsx')), 'AssetPage'),
    ),
    page(
      'rules',
      lazyRouteComponent(() => withWords(() => import('../pages/rules.tsx')), 'Rules'),
    ),
    // Beside `of`: any word may be the name of a rule set.
    page(
      'rules/write',
      lazyRouteComponent(() => withWords(() => import('../pages/rules-write.tsx')), 'WriteRules'),
    ),
    page(
      'rules/of/$name',
      lazyRouteComponent(() => withWords(() => import('../pages/rules.tsx')), 'RuleSetPage'),
    ),
    page(
      'tasks',
      lazyRouteComponent(() => withWords(() => import('../pages/tasks.tsx')), 'Tasks'),
    ),
    page(
      'tasks/new',
      lazyRouteComponent(() => withWords(() => import('../pages/dispatch.tsx')), 'Dispatch'),
    ),
    page(
      'tasks/$number',
      lazyRouteComponent(() => withWords(() => import('../pages/task.tsx')), 'TaskPage'),
    ),
    page(
      'batches',
      lazyRouteComponent(() => withWords(() => import('../pages/batches.tsx')), 'Batches'),
    ),
    page(
      'batches/$id',
      lazyRouteComponent(() => withWords(() => import('../pages/batches.tsx')), 'BatchPage'),
    ),
    page(
      'queues',
      lazyRouteComponent(() => withWords(() => import('../pages/queues.tsx')), 'Queues'),
    ),
    page(
      'dead-letters',
      lazyRouteComponent(() => withWords(() => import('../pages/dead-letters.tsx')), 'DeadLetters'),
    ),
    page(
      'handlers',
      lazyRouteComponent(() => withWords(() => import('../pages/handlers.tsx')), 'Handlers'),
    ),
    page(
      'schedules',
      lazyRouteComponent(() => withWords(() => import('../pages/schedules.tsx')), 'Schedules'),
    ),
    page(
      'schedules/new',
      lazyRouteComponent(() => withWords(() => import('../pages/schedule-form.tsx')), 'NewSchedulePage'),
    ),
    page(
      'schedules/$id',
      lazyRouteComponent(() => withWords(() => import('../pages/schedule.tsx')), 'SchedulePage'),
    ),
    page(
      'schedules/$id/edit',
      lazyRouteComponent(() => withWords(() => import('../pages/schedule-form.tsx')), 'EditSchedulePage'),
    ),
    page(
      'insight',
      lazyRouteComponent(() => withWords(() => import('../pages/insight.tsx')), 'Insight'),
    ),
    page(
      'audit',
      lazyRouteComponent(() => withWords(() => import('../pages/audit.tsx')), 'Audit'),
    ),
    page(
      'notices',
      lazyRouteComponent(() => withWords(() => import('../pages/notices.tsx')), 'Notices'),
    ),
    page(
      'notices/$id',
      lazyRouteComponent(() => withWords(() => import('../pages/notices.tsx')), 'WebhookPage'),
    ),
    page(
      'settings/$part',
      lazyRouteComponent(() => withWords(() => import('../pages/settings.tsx')), 'Settings'),
    ),
  ]),
])

export const router = createRouter({
  routeTree: tree,
  basepath: paths.console,
  defaultPreload: false,
  defaultPendingMs: 200,
  // Filters are texts: `?status=draft` and `?asset=12` are what people type and read.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const text = new URLSearchParams(search as Record<string, string>).toString()
    return text === '' ? '' : `?${text}`
  },
})
