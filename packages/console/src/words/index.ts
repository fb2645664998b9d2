import i18next from 'i18next'
import { initReactI18next } from 'react-i18next'
import { preferences } from '../app/page-settings.ts'
import type { en } from './en.ts'

export const languages = { en: 'English', 'zh-CN': '简体中文' } as const

declare module 'i18next' {
  interface CustomTypeOptions {
    resources: { translation: typeof en }
    returnNull: false
  }
}

const load: Readonly<Record<string, () => Promise<object>>> = {
  en: async () => (await import('./en.ts')).en,
  'zh-CN': async () => (await import('./zh-cn.ts')).zhCn,
}

/** Changes the language of the page, and remembers it in this browser. Words of the other one are not loaded. */
export async function speak(code: string, remember = true): Promise<void> {
  if (!i18next.hasResourceBundle(code, 'translation'))
    i18next.addResourceBundle(code, 'translation', await load[code]?.())
  await i18next.changeLanguage(code)
  document.documentElement.lang = code
  if (remember) preferences.set('language', code)
}

/** The language of this browser: the one that was chosen, or the first of its own that we have. */
export async function openWords(): Promise<void> {
  await i18next
    .use(initReactI18next)
    .init({ resources: {}, lng: 'en', fallbackLng: false, interpolation: { escapeValue: false } })
  const wanted =
    [preferences.get('language'), ...navigator.languages].find((one) => one && /^(en|zh)/i.test(one)) ?? 'en'
  await speak(wanted.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en', false)
}
