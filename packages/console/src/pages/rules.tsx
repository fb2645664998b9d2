import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { RuleSet } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Facts, Mono, Page, Person, Section, Time } from '../parts/bits.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Told } from '../parts/row-bits.tsx'
import { writeRules } from '../parts/rule-text.ts'
import { Answer, Empty } from '../parts/states.tsx'

/** All versions of all rule sets, newest first. */
export function useRuleSets() {
  const { client, project } = useSession()
  return useQuery({ queryKey: [project, 'rule-sets'], queryFn: () => client.all('rules.list') })
}

const checksOf = ({ definition }: RuleSet): string[] => {
  const { rules } = definition as { rules?: readonly { validator?: string }[] } // the server published it
  return [...new Set((rules ?? []).map(({ validator }) => validator ?? ''))]
}

/** Lists what may be cited: each rule set in its newest version. */
export function Rules() {
  const { can } = useSession()
  const { t } = useTranslation()
  const sets = useRuleSets()
  const write = can('rules.try') && (
    <Button component={Go} to="rules/write" leftSection={<Icon name="plus" size={14} />}>
      {t('rules.write')}
    </Button>
  )
  return (
    <Page name={t('nav.rules')} title={t('nav.rules')} actions={write}>
      <p className="lead dimmed">
        {t('rules.lead')} <a href="/docs/checks">{t('rules.docs')}</a>
      </p>
      <Answer of={sets}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="rules" title={t('rules.noneTitle')} text={t('rules.noneText')}>
              {write}
            </Empty>
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('notice.name')}</th>
                  <th>{t('rules.checks')}</th>
                  <th className="right">{t('rules.version')}</th>
                  <th className="right">{t('rules.published')}</th>
                </tr>
              </thead>
              <tbody>
                {newest(list).map((set) => (
                  <tr key={set.id}>
                    <td>
                      <Go to={`rules/of/${set.name}`}>{set.name}</Go>
                      <Description set={set} />
                    </td>
                    <td className="mono-text">{checksOf(set).join(', ')}</td>
                    <Told word={t('rules.version')}>{set.version}</Told>
                    <Told word={t('rules.published')}>
                      <Time at={set.created_at} />
                    </Told>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Answer>
    </Page>
  )
}

function newest(list: readonly RuleSet[]): RuleSet[] {
  const found = new Map<string, RuleSet>()
  for (const set of list) if ((found.get(set.name)?.version ?? 0) < set.version) found.set(set.name, set)
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function Description({ set }: { set: RuleSet }) {
  const { description } = set.definition as { description?: unknown }
  return typeof description === 'string' && description !== '' ? <p className="dimmed small">{description}</p> : null
}

/** One rule set: what it says, in each version, and how a run names it. */
export function RuleSetPage() {
  const { can } = useSession()
  const { t } = useTranslation()
  const { name = '' } = useParams({ strict: false }) as { name?: string }
  const [filters] = useFilters()
  const sets = useRuleSets()
  const versions = (sets.data ?? []).filter((set) => set.name === name).sort((a, b) => b.version - a.version)
  const shown =
    filters.version === undefined ? versions[0] : versions.find(({ version }) => String(version) === filters.version)
  const title = shown ? `${name}@${shown.version}` : name
  return (
    <Page
      name={title}
      title={title}
      above={
        <Go to="rules" className="back">
          <Icon name="left" size={13} /> {t('nav.rules')}
        </Go>
      }
      actions={
        shown &&
        can('rules.try') && (
          <Button component={Go} to="rules/write" filters={{ from: title }} variant="default">
            {t('rules.tryThese')}
          </Button>
        )
      }
    >
      <Answer of={sets}>
        {() =>
          shown === undefined ? (
            <Empty icon="search" title={t('error.missing')} />
          ) : (
            <div className="columns">
              <Section title={t('rules.text')}>
                <Description set={shown} />
                {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
                <pre className="code" tabIndex={0}>
                  {writeRules(name, shown.definition as Record<string, unknown>)}
                </pre>
              </Section>
              <aside>
                <Section title={t('ticket.facts')}>
                  <Facts
                    rows={[
                      [t('rules.script'), <Mono key="s" value={`rules.${title}`} keep={40} />],
                      [t('rules.checks'), checksOf(shown).join(', ')],
                      [t('rules.published'), <Time key="at" at={shown.created_at} />],
                      [t('rules.by'), <Person key="by" id={shown.created_by_id} />],
                      ['SHA-256', <Mono key="d" value={shown.digest} label="SHA-256" />],
                    ]}
                  />
                </Section>
                <Section title={t('rules.versions')}>
                  <ul className="plain-list">
                    {versions.map((set) => (
                      <li key={set.id}>
                        <p>
                          <Go
                            to={`rules/of/${name}`}
                            filters={{ version: String(set.version) }}
                            {...(set === shown ? { 'aria-current': 'true' as const } : {})}
                          >
                            {t('rules.versionOf', { version: set.version })}
                          </Go>{' '}
                          <span className="dimmed small">
                            · <Time at={set.created_at} /> · <Person id={set.created_by_id} />
                          </span>
                        </p>
                      </li>
                    ))}
                  </ul>
                </Section>
              </aside>
            </div>
          )
        }
      </Answer>
    </Page>
  )
}
