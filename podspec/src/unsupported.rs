//! Fields that Kubernetes knows and this program does not act on, each with the reason: they are errors, but no typing mistakes.

const PROBES: &str = "nothing probes containers";
const HOOKS: &str = "there are no hooks";
const CLUSTER: &str = "there is no cluster";
const RESTART: &str = "a container restarts as its pod says";
const SCHEDULER: &str = "there is no scheduler, only nodeName and nodeSelector";
const STATUS: &str = "the state of a running object, not of a manifest";
const VOLUME: &str =
    "volumes are hostPath, emptyDir, configMap and secret, mounted whole and without propagation";
const NOT_LINUX: &str = "only Linux";
const SECURITY: &str = "no such property is set here";

/// Field, why not. By name alone: Kubernetes gives none of them two meanings that matter here.
const FIELDS: &[(&str, &str)] = &[
    ("activeDeadlineSeconds", "nothing ends a pod by the clock"),
    ("affinity", SCHEDULER),
    ("appArmorProfile", SECURITY),
    ("automountServiceAccountToken", CLUSTER),
    ("awsElasticBlockStore", VOLUME),
    ("azureDisk", VOLUME),
    ("azureFile", VOLUME),
    ("cephfs", VOLUME),
    ("cinder", VOLUME),
    ("claims", CLUSTER),
    ("configMapKeyRef", CLUSTER),
    ("configMapRef", CLUSTER),
    ("creationTimestamp", STATUS),
    ("csi", VOLUME),
    ("deletionGracePeriodSeconds", STATUS),
    ("deletionTimestamp", STATUS),
    ("downwardAPI", VOLUME),
    ("enableServiceLinks", CLUSTER),
    ("envFrom", CLUSTER),
    ("ephemeral", VOLUME),
    (
        "ephemeralContainers",
        "pod exec runs a command in a container",
    ),
    ("fc", VOLUME),
    ("fieldRef", CLUSTER),
    ("finalizers", CLUSTER),
    ("flexVolume", VOLUME),
    ("flocker", VOLUME),
    ("fsGroup", SECURITY),
    ("fsGroupChangePolicy", SECURITY),
    ("gcePersistentDisk", VOLUME),
    ("generateName", CLUSTER),
    ("generation", STATUS),
    ("gitRepo", VOLUME),
    ("glusterfs", VOLUME),
    ("grpc", PROBES),
    ("gmsaCredentialSpec", NOT_LINUX),
    (
        "hostUsers",
        "nsrun makes user namespaces, a manifest does not",
    ),
    ("imagePullSecrets", "there is no registry"),
    ("iscsi", VOLUME),
    ("lifecycle", HOOKS),
    ("livenessProbe", PROBES),
    ("managedFields", STATUS),
    ("mountPropagation", VOLUME),
    ("nfs", VOLUME),
    ("os", NOT_LINUX),
    ("overhead", SCHEDULER),
    ("ownerReferences", CLUSTER),
    ("persistentVolumeClaim", VOLUME),
    ("photonPersistentDisk", VOLUME),
    ("portworxVolume", VOLUME),
    ("preemptionPolicy", SCHEDULER),
    ("priority", SCHEDULER),
    ("priorityClassName", SCHEDULER),
    ("procMount", SECURITY),
    ("projected", VOLUME),
    ("quobyte", VOLUME),
    ("rbd", VOLUME),
    ("readinessGates", PROBES),
    ("readinessProbe", PROBES),
    ("recursiveReadOnly", VOLUME),
    ("resizePolicy", CLUSTER),
    ("resourceClaims", SCHEDULER),
    ("resourceFieldRef", CLUSTER),
    ("resourceVersion", STATUS),
    // Of a container; a pod's is understood.
    ("restartPolicy", RESTART),
    ("restartPolicyRules", RESTART),
    ("runtimeClassName", "there is one runtime"),
    ("scaleIO", VOLUME),
    ("schedulerName", SCHEDULER),
    ("schedulingGates", SCHEDULER),
    ("secretKeyRef", CLUSTER),
    ("secretRef", CLUSTER),
    ("seLinuxChangePolicy", SECURITY),
    ("seLinuxOptions", SECURITY),
    ("selfLink", STATUS),
    ("serviceAccount", CLUSTER),
    ("serviceAccountName", CLUSTER),
    ("setHostnameAsFQDN", CLUSTER),
    ("startupProbe", PROBES),
    ("status", STATUS),
    ("storageos", VOLUME),
    ("stdinOnce", "stdin stays open"),
    ("subPath", VOLUME),
    ("subPathExpr", VOLUME),
    ("subdomain", CLUSTER),
    ("supplementalGroupsPolicy", SECURITY),
    ("sysctls", SECURITY),
    ("terminationMessagePath", "the log has all that is said"),
    ("terminationMessagePolicy", "the log has all that is said"),
    ("tolerations", SCHEDULER),
    ("topologySpreadConstraints", SCHEDULER),
    ("uid", STATUS),
    ("valueFrom", CLUSTER),
    ("volumeDevices", VOLUME),
    ("vsphereVolume", VOLUME),
    ("windowsOptions", NOT_LINUX),
];

/// Why `field` has no effect here; None: Kubernetes does not know it either.
pub(crate) fn why(field: &str) -> Option<&'static str> {
    let found = FIELDS.iter().find(|(name, _)| *name == field);
    found.map(|(_, why)| *why)
}
