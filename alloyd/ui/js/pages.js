// Every page there is, one line each, in the order of the navigation. Each file is listed in alloyd/wire/ui/files.py too.

const page = (path, title, load, { section = null, icon = null, needs = null, under = null, visitor = false } = {}) =>
  ({ path, title, load, section, icon, needs, under, visitor });

/**
 * `path` has its parameters as `:name`; `:name*` takes the rest. With a `section` a page is in the navigation ("" is the first,
 * which has no heading), for who may do the action `needs`; `under` is the path whose entry is marked while this page is shown.
 */
export const PAGES = [
  page("/sign-in", "Sign in", () => import("./pages/sign-in.js"), { visitor: true }),
  page("/setup/:token", "Set up", () => import("./pages/set-up.js"), { visitor: true }),

  page("/", "Overview", () => import("./pages/overview.js"), { section: "", icon: "gauge" }),
  page("/events", "Live events", () => import("./pages/events.js"), { section: "", icon: "pulse", needs: "event.read" }),

  page("/workflows", "Workflows", () => import("./pages/workflows.js"), { section: "Automation", icon: "flow", needs: "workflow.read" }),
  page("/workflows/new", "New workflow", () => import("./pages/workflow-edit.js"), { under: "/workflows" }),
  page("/workflows/:id", "Workflow", () => import("./pages/workflow.js"), { under: "/workflows" }),
  page("/workflows/:id/edit", "Edit a workflow", () => import("./pages/workflow-edit.js"), { under: "/workflows" }),
  page("/runs", "Runs", () => import("./pages/runs.js"), { section: "Automation", icon: "play", needs: "run.read" }),
  page("/runs/:id", "Run", () => import("./pages/run.js"), { under: "/runs" }),
  page("/schedules", "Schedules", () => import("./pages/schedules.js"), { section: "Automation", icon: "clock", needs: "schedule.read" }),
  page("/dead-letters", "Dead letters", () => import("./pages/dead-letters.js"), { section: "Automation", icon: "inbox", needs: "dead_letter.read" }),

  page("/storage", "Storage", () => import("./pages/storage.js"), { section: "Data", icon: "folder", needs: "storage.read" }),
  page("/storage/:path*", "Storage", () => import("./pages/storage.js"), { under: "/storage" }),
  page("/objects", "Objects", () => import("./pages/objects.js"), { section: "Data", icon: "box", needs: "storage.read" }),
  page("/assets", "Assets", () => import("./pages/assets.js"), { section: "Data", icon: "file", needs: "asset.read" }),

  page("/integrations", "Integrations", () => import("./pages/integrations.js"), { section: "Embedded", icon: "plug", needs: "integration.read" }),
  page("/integrations/:id", "Integration", () => import("./pages/integration.js"), { under: "/integrations" }),
  page("/end-users", "End users", () => import("./pages/end-users.js"), { section: "Embedded", icon: "person", needs: "end_user.read" }),
  page("/end-users/:id", "End user", () => import("./pages/end-user.js"), { under: "/end-users" }),
  page("/installations", "Installations", () => import("./pages/installations.js"), { section: "Embedded", icon: "rocket", needs: "installation.read" }),
  page("/connectors", "Connectors", () => import("./pages/connectors.js"), { section: "Embedded", icon: "link", needs: "connector.read" }),
  page("/connectors/:id", "Connector", () => import("./pages/connector.js"), { under: "/connectors" }),
  page("/credentials", "Credentials", () => import("./pages/credentials.js"), { section: "Embedded", icon: "lock", needs: "credential.read" }),

  page("/usage", "Usage", () => import("./pages/usage.js"), { section: "Operations", icon: "coins", needs: "usage.read" }),
  page("/jobs", "Jobs", () => import("./pages/jobs.js"), { section: "Operations", icon: "layers", needs: "job.read" }),
  page("/jobs/:id", "Job", () => import("./pages/job.js"), { under: "/jobs" }),
  page("/webhooks", "Webhooks", () => import("./pages/webhooks.js"), { section: "Operations", icon: "webhook", needs: "webhook.read" }),
  page("/webhooks/:id", "Webhook", () => import("./pages/webhook.js"), { under: "/webhooks" }),

  page("/teammates", "Teammates", () => import("./pages/teammates.js"), { section: "Teammates", icon: "robot", needs: "teammate.read" }),
  page("/teammates/new", "New teammate", () => import("./pages/teammate-new.js"), { under: "/teammates" }),
  page("/teammates/:id", "Teammate", () => import("./pages/teammate.js"), { under: "/teammates" }),

  page("/api-keys", "API keys", () => import("./pages/api-keys.js"), { section: "Access", icon: "key", needs: "api_key.read" }),
  page("/members", "Members", () => import("./pages/members.js"), { section: "Access", icon: "people", needs: "member.read" }),
  page("/teams", "Teams", () => import("./pages/teams.js"), { section: "Access", icon: "team", needs: "team.read" }),
  page("/teams/:id", "Team", () => import("./pages/team.js"), { under: "/teams" }),
  page("/grants", "Grants", () => import("./pages/grants.js"), { section: "Access", icon: "scales", needs: "grant.read" }),
  page("/audit", "Audit trail", () => import("./pages/audit.js"), { section: "Access", icon: "shield", needs: "audit.read" }),
  page("/account", "Your account", () => import("./pages/account.js")),
];

/** The sections of the navigation, in their order; one without a page that the user may see is left out. */
export const SECTIONS = ["", "Automation", "Teammates", "Data", "Embedded", "Operations", "Access"];
