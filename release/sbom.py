"""A bill of materials in CycloneDX: reparam and every package under it, with versions, licences and who needs whom."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import OutputFormat, make_outputter
from cyclonedx.schema import SchemaVersion
from packageurl import PackageURL

from release.dependencies import dependencies, required
from release.licences import licence
from release.pins import OURS, canonical, project
from release.wheel import epoch, version


def bill(name: str, number: str, told: str, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    """A package as a component."""
    licences = [LicenseFactory().make_from_string(told)]
    purl = PackageURL("pypi", name=name, version=number)
    return Component(name=name, version=number, type=kind, licenses=licences, purl=purl, bom_ref=f"{name}=={number}")


def materials() -> Bom:
    """The bill: the same bytes for the same packages, for its date is that of the release and its number their hash."""
    found = dependencies()
    components = {name: bill(name, package.version, licence(package)) for name, package in found.items()}
    ours = bill(OURS, version(), project()["license"])
    bom = Bom(components=components.values())
    bom.metadata.component = ours
    bom.metadata.timestamp = datetime.fromtimestamp(epoch(), UTC)
    bom.serial_number = uuid5(NAMESPACE_URL, " ".join(str(component.bom_ref) for component in components.values()))
    below = {name: package.requires or () for name, package in found.items()}
    for component, texts in ((ours, project()["dependencies"]), *((components[name], below[name]) for name in found)):
        needed = {canonical(requirement.name) for requirement in required(texts)}
        bom.register_dependency(component, [components[name] for name in sorted(needed & set(components))])
    return bom


def write(folder: Path) -> Path:
    """Write the bill as JSON."""
    path = folder / f"{OURS}-{version()}.cdx.json"
    told = make_outputter(materials(), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    path.write_text(told + "\n")
    return path


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    place.mkdir(exist_ok=True)
    print(write(place))
