//! From a seed that fails to the few blows that matter.

use crate::plan::Plan;
use crate::world::run;

/// Leaves out blows as long as it still fails, then batches of the source, then steps.
fn shrink(plan: &Plan) -> Plan {
    let fails = |plan: &Plan| run(plan, false).is_err();
    let mut least = plan.clone();
    let mut chunk = least.blows.len().max(1);
    while chunk > 0 {
        let mut at = 0;
        while at < least.blows.len() {
            let mut fewer = least.clone();
            fewer.blows.drain(at..(at + chunk).min(fewer.blows.len()));
            if fails(&fewer) {
                least = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    for (process, thread) in [(1, 1), (1, 2), (2, 1)] {
        let smaller = Plan { processes: process, threads: thread, ..least.clone() };
        if process <= least.processes && thread <= least.threads && fails(&smaller) {
            least = smaller;
            break;
        }
    }
    for batches in [1, 2, 4, 8, 16, 32] {
        let shorter = Plan { batches, ..least.clone() };
        if batches < least.batches && fails(&shorter) {
            least = shorter;
            break;
        }
    }
    least
}

/// What a person needs to understand it.
pub fn story(plan: &Plan, why: &str) -> String {
    let least = shrink(plan);
    let (reason, history) = match run(&least, true) {
        Ok(_) => ("it does not fail again: that is a bug of the simulation".to_string(), Vec::new()),
        Err(failure) => (failure.why, failure.history),
    };
    let blows: Vec<String> =
        least.blows.iter().map(|blow| format!("  step {:>4}: {:?}", blow.step, blow.what)).collect();
    let tail = history.len().saturating_sub(400);
    format!(
        "{}\nfails: {why}\n\nshrunk to {} batches and these blows:\n{}\nfails: {reason}\n\nthe last {} of {} lines of what \
         happened:\n{}\n\nagain: make simulate SEEDS=1 FIRST_SEED={}",
        plan.summary(),
        least.batches,
        blows.join("\n"),
        history.len() - tail,
        history.len(),
        history[tail..].join("\n"),
        plan.seed
    )
}
