//! Secrets: declared in the section `secrets`, or the salt of a rules file; chosen by mask steps and `state`.

use super::Mode;
use super::diagnostics::Severity;
use super::reader::{Reader, list, nearest};
use super::redact;
use super::substitute::{Fault, substitute};
use super::yaml::{Node, Span};
use crate::record::Secret;

impl Reader<'_> {
    /// A value of the section `secrets`. Known in `run`, or an error; else a stand-in where it is missing.
    pub fn secret(&mut self, name: &str, node: &Node, at: Span) -> Option<Secret> {
        // The name of a blank one may be the secret itself: `pii:value` is a name to YAML.
        let what = if node.is_blank() { "a secret".to_owned() } else { format!("secret `{name}`") };
        let raw = self.scalar(node, at, &what)?;
        if self.mode == Mode::Test {
            // Never one from outside, though it were there: what a test prints is for everyone to read.
            if let Some(given) = self.given.get(name) {
                return Some(given.clone());
            }
            if raw.contains("${") {
                return Some(Secret::new(format!("stand-in-for-{name}")));
            }
        }
        let outcome = substitute(raw, self.env, &self.dir);
        let (forms, missing): (Vec<_>, Vec<_>) =
            outcome.faults.into_iter().partition(|fault| matches!(fault, Fault::Form(_)));
        if let Some(Fault::Form(message)) = forms.into_iter().next() {
            self.error("substitution", node.span, message, "");
            return None;
        }
        if let Some(Fault::Missing(message)) = missing.into_iter().next() {
            if self.mode.stands_in() {
                self.unresolved.push(name.to_owned());
                return Some(Secret::new(&b"unresolved"[..]));
            }
            self.error("unset", node.span, message, format!("secret `{name}` needs it"));
            return None;
        }
        if outcome.bytes.is_empty() {
            self.error("blank", node.span, format!("secret `{name}` is empty"), "");
            return None;
        }
        self.judge_secret(name, &outcome.bytes, outcome.literal, node.span);
        Some(Secret::new(outcome.bytes))
    }

    /// The salt of a rules file, where it is used.
    pub fn judge_salt(&mut self, salt: &Secret, span: Span) {
        let help = "name a secret in the mask step and leave `salt` out";
        let (message, label) =
            ("the salt stands in the file itself", "whoever reads the file can undo hashes by trying");
        self.report(Severity::Warning, "literal-secret", span, message.into(), label.into(), &[help]);
        if salt.expose().len() < 16 {
            self.warn("short-secret", span, "the salt has fewer than 16 bytes", "short secrets can be guessed");
        }
    }

    /// Warns of secrets that are too short, or that stand in the file.
    fn judge_secret(&mut self, name: &str, bytes: &[u8], literal: bool, span: Span) {
        if literal {
            let help = format!("take it from outside: `{name}: ${{NAME}}` or `{name}: ${{file:/run/secrets/{name}}}`");
            let message = format!("secret `{name}` stands in the file itself");
            let label = "whoever reads the file can undo hashes by trying".to_owned();
            self.report(Severity::Warning, "literal-secret", span, message, label, &[&help]);
        }
        if bytes.len() < 16 && (literal || !self.mode.stands_in()) {
            let message = format!("secret `{name}` has fewer than 16 bytes");
            self.warn(
                "short-secret",
                span,
                message,
                "short secrets can be guessed: `openssl rand -hex 32` makes a good one",
            );
        }
    }

    /// Those that are declared rightly: of a wrong one the name may be the secret itself.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().filter(|(_, secret)| secret.is_some()).map(|(name, _)| name.as_str())
    }

    /// A secret by its name. What is no name of a secret may be the secret itself: it is hidden.
    pub fn named_secret(&mut self, node: &Node, at: Span) -> Option<Secret> {
        let text = match self.text(node, at, "`secret`") {
            Some(text) => text,
            None => {
                redact::hide_all(&mut self.out, node);
                return None;
            }
        };
        if let Some(secret) = self.secrets.get(&text.text) {
            return secret.clone();
        }
        let names = list(self.secret_names());
        let label = match nearest(&text.text, self.secret_names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None if names.is_empty() => "the topology declares none: `secrets: { pii: ${NAME} }`".to_owned(),
            None => format!("declared: {names}"),
        };
        if !label.starts_with("did") {
            redact::hide_all(&mut self.out, node);
        }
        self.error("unknown-secret", text.span, "`secret` must name an entry of the section `secrets`", label);
        None
    }

    /// The secret named by the step, else the salt of the rules file, else the only one declared. The outer `None` is an
    /// error that has been reported. `hash_at` is the first rule that needs a secret.
    pub fn choose_secret(
        &mut self,
        named: Option<Option<Secret>>,
        salt: Option<(Secret, Span)>,
        hash_at: Option<Span>,
        at: Span,
    ) -> Option<Option<Secret>> {
        if let Some(named) = named {
            return named.map(Some);
        }
        let Some(hash_at) = hash_at else { return Some(None) };
        if let Some((salt, salt_at)) = salt {
            self.judge_salt(&salt, salt_at);
            return Some(Some(salt));
        }
        let mut declared = self.secrets.values();
        match (declared.next(), declared.next()) {
            (Some(only), None) => only.clone().map(Some),
            (None, _) => {
                let help = ["declare one: `secrets: { pii: ${ANONYMIZE_SALT} }`"];
                self.explain("missing-secret", hash_at, "`hash` needs a secret", "", &help);
                None
            }
            (Some(_), Some(_)) => {
                let label = format!("say which: {}", list(self.secret_names()));
                self.error("missing-secret", at, "several secrets are declared and `mask` names none", label);
                None
            }
        }
    }
}
