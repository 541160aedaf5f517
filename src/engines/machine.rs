//! The machine on which an engine runs, which decides about images with several platforms.
//!
//! Source: containerd, `platforms/compare.go`; containers-libs, `image/internal/pkg/platform`.

use crate::graph::pointer::Pointer;
use crate::graph::{Graph, ManifestRole};
use crate::image::Platform;
use crate::location::Role;
use crate::plan::PlanOptions;

const LINUX: &str = "linux";

/// A machine that runs Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    platform: Platform,
    /// What it can run, its own platform first.
    runs: Vec<Platform>,
}

/// What the descriptor of an image says about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// The machine runs the image; the lower the better.
    Runs(usize),
    /// The image is for another platform.
    Other,
    /// It has no platform.
    Unstated,
}

impl Machine {
    /// The machine for which an archive is judged: the platform that was asked for, else what the options of a fix say,
    /// else Linux on the `host` architecture if there is an image for it, else the platform of the first image.
    pub(crate) fn of(
        graph: &Graph,
        options: &PlanOptions,
        host: Option<&str>,
        asked: Option<&Platform>,
    ) -> Self {
        let described = options.docker_platform.as_ref();
        let described = described.filter(|platform| platform.os == LINUX);
        if let Some(platform) = asked.or(described) {
            return Machine::new(platform.clone());
        }
        let host = Machine::on(host.unwrap_or("amd64"));
        let mut kept = options.platforms.iter();
        if let Some(first) = options.platforms.first() {
            return match kept.any(|platform| host.rank(platform) == Some(0)) {
                true => host,
                false => Machine::new(first.clone()),
            };
        }
        let entries = graph.root.pointers_in(Role::Manifests);
        let images = entries.flat_map(|entry| graph.images_below(&entry.digest));
        let images = images.filter_map(|digest| graph.manifests.get(digest));
        let images = images.filter(|facts| facts.role == ManifestRole::Image && facts.is_whole);
        let mut first = None;
        for facts in images {
            match &facts.platform {
                Some(platform) if platform.os != LINUX => {}
                Some(platform) if host.rank(platform).is_none() => {
                    first.get_or_insert(platform);
                }
                _ => return host,
            }
        }
        match first {
            Some(platform) => Machine::new(Platform {
                os_version: None,
                os_features: Default::default(),
                ..platform.clone()
            }),
            None => host,
        }
    }

    /// Linux on an architecture, by Go's name.
    fn on(architecture: &str) -> Self {
        Machine::new(Platform {
            os: LINUX.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
            os_version: None,
            os_features: Default::default(),
        })
    }

    pub(crate) fn new(platform: Platform) -> Self {
        let with = |architecture: &str, variant: Option<String>| Platform {
            architecture: architecture.to_owned(),
            variant,
            ..platform.clone()
        };
        let mut runs = vec![platform.clone()];
        let number = |default: u32| {
            let variant = platform.variant.as_deref();
            let number = variant.and_then(|variant| variant.trim_start_matches('v').parse().ok());
            number.unwrap_or(default)
        };
        let arm = |newest: u32| (5..=newest).rev().map(|number| Some(format!("v{number}")));
        match platform.architecture.as_str() {
            "amd64" => {
                let older = (1..number(1))
                    .rev()
                    .map(|number| Some(format!("v{number}")));
                runs.extend(older.map(|variant| with("amd64", variant)));
                runs.push(with("386", None));
            }
            "arm" => {
                runs.extend(arm(number(7).saturating_sub(1)).map(|variant| with("arm", variant)))
            }
            "arm64" => runs.extend(arm(number(8)).map(|variant| with("arm", variant))),
            _ => {}
        }
        Machine { platform, runs }
    }

    /// Its platform.
    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Whether the models know what engines do there.
    pub(crate) fn is_known(&self) -> bool {
        self.platform.os == LINUX
    }

    /// How well it runs an image for this platform, as containerd decides: 0 is best; `None` if it does not.
    fn rank(&self, image: &Platform) -> Option<usize> {
        self.runs.iter().position(|own| image.matches(own))
    }

    /// What the descriptor of an image says, for engines with containerd. Without an operating system, it is for the machine's own.
    ///
    /// Source: containerd, `platforms/database.go`, `normalizeOS`.
    pub(crate) fn fit(&self, pointer: &Pointer) -> Fit {
        if let Some(platform) = &pointer.platform_without_os {
            let os = self.platform.os.clone();
            let rank = self.rank(&Platform {
                os,
                ..(**platform).clone()
            });
            return rank.map_or(Fit::Other, Fit::Runs);
        }
        self.fit_by(pointer, |platform| self.rank(platform))
    }

    /// The same for those that run only images for their own architecture.
    pub(crate) fn strict_fit(&self, pointer: &Pointer) -> Fit {
        let is_own = |image: &Platform| image.architecture == self.platform.architecture;
        self.fit_by(pointer, |platform| {
            self.rank(platform).filter(|_| is_own(platform))
        })
    }

    /// Whether a platform is its own, for go-containerregistry: what the machine does not state may be anything.
    ///
    /// Source: go-containerregistry, `pkg/v1/platform.go`, `Satisfies`; apptainer, `internal/pkg/ociplatform`.
    pub(crate) fn is_satisfied_by(&self, image: &Platform) -> bool {
        let own = &self.platform;
        let variant = match (own.architecture.as_str(), own.variant.as_deref()) {
            ("amd64" | "386", _) | ("arm64", Some("v8")) => None,
            ("arm", None) => Some("v7"),
            (_, variant) => variant,
        };
        let has_variant = variant.is_none_or(|own| image.variant.as_deref() == Some(own));
        image.os == own.os && image.architecture == own.architecture && has_variant
    }

    fn fit_by(&self, pointer: &Pointer, rank: impl Fn(&Platform) -> Option<usize>) -> Fit {
        match &pointer.platform {
            Some(platform) => rank(platform).map_or(Fit::Other, Fit::Runs),
            None if pointer.has_platform => Fit::Other,
            None => Fit::Unstated,
        }
    }

    /// Whether it runs an image, by the platform that its config states, or only the architecture: then it is for Linux. Without an
    /// architecture, it is for no machine.
    pub(crate) fn runs(
        &self,
        (platform, architecture): (Option<&Platform>, Option<&str>),
        has_variant: bool,
    ) -> bool {
        let platform = match (platform, architecture) {
            (Some(platform), _) => platform.clone(),
            (None, Some(architecture)) => Machine::on(architecture).platform,
            (None, None) => return false,
        };
        let variant = platform.variant.clone().filter(|_| has_variant);
        let platform = Platform {
            variant,
            ..platform
        };
        self.rank(&platform).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> Machine {
        Machine::new(text.parse().unwrap())
    }

    #[test]
    fn a_machine_runs_what_containerd_says_that_it_runs() {
        for (own, image, rank) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/386", Some(1)),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64/v3", "linux/amd64/v2", Some(1)),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64", "linux/arm64", None),
            ("linux/386", "linux/amd64", None),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64", "linux/arm/v8", Some(1)),
            ("linux/arm64", "linux/arm/v5", Some(4)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm64", "windows/arm64", None),
            ("linux/s390x", "linux/s390x", Some(0)),
        ] {
            let found = machine(own).rank(&image.parse().unwrap());
            assert_eq!(found, rank, "{image} on {own}");
        }
    }

    #[test]
    fn what_a_config_does_not_state_is_not_run() {
        let runs = |platform: &str, architecture: Option<&str>, has_variant| {
            let platform: Option<Platform> = platform.parse().ok();
            machine("linux/amd64").runs((platform.as_ref(), architecture), has_variant)
        };
        assert!(!runs("", None, true) && runs("", Some("amd64"), true));
        assert!(!runs("", Some("arm64"), true) && !runs("linux/arm64", Some("arm64"), true));
        assert!(runs("linux/386", Some("386"), true));
        assert!(!runs("linux/amd64/v3", Some("amd64"), true));
        assert!(runs("linux/amd64/v3", Some("amd64"), false));
        assert!(machine("linux/amd64").is_known() && !machine("windows/amd64").is_known());
    }
}
